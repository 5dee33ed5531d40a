// SPDX-License-Identifier: Apache-2.0
#include "tools/vtpm-instance/service.h"

#include <fcntl.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <chrono>
#include <csignal>
#include <utility>
#include <vector>

#include "tools/vtpm-instance/listening.h"
#include "tools/vtpm-instance/state_travel.h"
#include "tools/vtpm-instance/statement.h"
#include "transport/tpm_socket/data_server.h"
#include "vmgs/base/idle_memory.h"
#include "vmgs/base/log.h"

namespace tools::vtpm_instance {

namespace asio = boost::asio;
using keybroker::protocol::Readiness;
using transport::tpm_socket::DataServer;

namespace {

// How long after a start its thread has come to rest.
constexpr std::chrono::seconds kUntilRest{1};

}  // namespace

Readiness readiness_of_failure(const base::Error& error, const LaunchChoice& choice,
                               const vtpm::boot::BrokerBoot* broker) {
  return broker != nullptr && broker->trouble() ? *broker->trouble() : readiness_of(error, choice);
}

Service::Service(const InstanceSetup& setup, const LaunchChoice& choice, TpmState& state, Tpm tpm,
                 Supervisor& supervisor)
    : setup_(setup),
      choice_(choice),
      state_(state),
      supervisor_(supervisor),
      reports_(tpm.reports),
      broker_(tpm.broker),
      statement_(tpm.statement),
      device_(tpm.engine, device_options()),
      upkeep_({.io = io_,
               .device = device_,
               .engine = tpm.engine,
               .store = tpm.store,
               .vouching = std::move(tpm.vouching),
               .changed = [this] { attestation_changed(); }},
              std::move(tpm.begun)),
      commands_(device_),
      signals_(io_, SIGTERM, SIGINT),
      orders_(io_),
      twin_(io_),
      rest_(io_) {}

base::Result<void> Service::serve(Endpoint control, Endpoint data, Endpoint variables,
                                  std::optional<SimulatorPorts> simulator,
                                  std::optional<Heritage> heritage) {
  TRY_ASSIGN(state_blobs, choose_state_blobs());
  TRY_ASSIGN(data_listening, listen_at(std::move(data)));
  TRY_ASSIGN(variables_listening, listen_at(std::move(variables)));
  TRY(serve_variables(std::move(variables_listening.socket), heritage ? &*heritage : nullptr));
  std::vector<DataServer::Channel> channels;
  if (heritage) {
    TRY(claim(*heritage, device_));
    channels = data_channels_of(*heritage);
  }
  TRY_ASSIGN(data_server, DataServer::start(commands_, std::move(data_listening.socket), {},
                                            std::move(channels)));
  TRY(serve_simulator(std::move(simulator)));
  ControlOfDevice control_of_device(
      device_, *data_server, state_blobs,
      {.powered_on = [this](const base::Result<void>& done) { powered_on(done); },
       .shut_down = [this] { return close(); },
       .state_taken = [this] { state_taken(); },
       .state_put_in = [this] { state_put_in(); }});
  TRY_ASSIGN(control_listening, listen_at(std::move(control)));
  const int control_listener = control_listening.socket.number();
  control_.emplace(io_, std::move(control_listening.socket), control_of_device,
                   transport::tpm_socket::ControlLimits{},
                   transport::tpm_socket::ControlEvents{
                       .shut_down = [this] { io_.stop(); },
                       .hypervisor = [this](bool there) { hypervisor_changed(there); }});
  succession_.emplace(io_,
                      Succession::Parts{.device = device_,
                                        .data = *data_server,
                                        .control = *control_,
                                        .state = state_,
                                        .upkeep = upkeep_,
                                        .reports = reports_,
                                        .supervisor = supervisor_,
                                        .variables = variables_.get()},
                      control_listener,
                      Succession::Events{.handed_over = [this] { handed_over(); },
                                         .reclaimed = [this] { reclaimed(); }});
  if (heritage) {
    enter_upon(*heritage, supervisor_, *control_);
    if (variables_) {
      variables_->go_on();
    }
  }
  signals_.async_wait([this](boost::system::error_code error, int) {
    if (!error) {
      end();
    }
  });
  asio::post(io_, [this] { follow_orders(); });
  supervisor_.loop_reads(true);
  watch_twin();
  upkeep_.start();
  rejoin();
  rest_soon();
  supervisor_.travelled(travel());
  if (setup_.incoming) {
    tell(Readiness::kProvisioning, "");
  } else if (heritage && heritage->locked_out) {
    tell(Readiness::kLockedOut, "");
  } else {
    tell_ready();
  }
  io_.run();
  succession_.reset();
  control_.reset();
  simulator_.reset();
  return closing_ ? *closing_ : close();
}

base::Result<StateBlobCodec*> Service::choose_state_blobs() {
  TRY_ASSIGN(travel, state_travel_of(setup_, choice_));
  state_blobs_ = std::move(travel);
  if (setup_.migration_ticket.empty()) {
    return state_blobs_.get();
  }
  sealed_blobs_.emplace(SealedStateBlobs::Parts{.device = device_,
                                                .state = state_,
                                                .ticket = setup_.migration_ticket,
                                                .store = setup_.store,
                                                .otherwise = state_blobs_.get(),
                                                .moved = [this] { moved(); }},
                        std::exchange(claim_, std::nullopt));
  return &*sealed_blobs_;
}

Travel Service::travel() const {
  return {.migration = sealed_blobs_ ? sealed_blobs_->migration() : Migration::kNone,
          .seals_to_tickets = sealed_blobs_.has_value(),
          .states_taken = taken_,
          .states_put_in = put_in_};
}

// What has left unsealed can come in again, here or elsewhere, as often as somebody likes.
void Service::state_taken() {
  if (travel().migration == Migration::kNone) {
    ++taken_;
    supervisor_.travelled(travel());
  }
}

void Service::state_put_in() {
  if (travel().migration == Migration::kNone) {
    ++put_in_;
    supervisor_.travelled(travel());
  }
}

void Service::moved() {
  supervisor_.travelled(travel());
  if (travel().migration == Migration::kOffered) {
    tell(Readiness::kMovedAway, "its hypervisor has taken the TPM for another host");
  } else if (readiness_ == Readiness::kMovedAway) {
    tell_ready();
  }
}

base::Result<void> Service::serve_variables(base::Descriptor listener, Heritage* heritage) {
  if (!listener.is_open()) {
    return {};
  }
  TRY_ASSIGN(started,
             VariableService::start(
                 io_, device_, state_.flash_store(), first_variables(setup_, choice_),
                 {.listener = std::move(listener), .group = setup_.hypervisor_group},
                 {.hypervisor = [this](bool there) { hypervisor_changed(there); },
                  .trouble = [this](const auto& trouble) { variables_trouble(trouble); }}));
  variables_ = std::move(started);
  return heritage == nullptr ? base::Result<void>() : variables_->adopt(variables_of(*heritage));
}

base::Result<void> Service::serve_simulator(std::optional<SimulatorPorts> ports) {
  if (!ports) {
    return {};
  }
  // These come on threads of the protocol.
  TRY_ASSIGN(started,
             SimulatorService::start(device_, *std::move(ports),
                                     {.powered_on =
                                          [this](const auto& done) {
                                            asio::post(io_, [this, done] { powered_on(done); });
                                          },
                                      .stop = [this] { asio::post(io_, [this] { end(); }); }}));
  simulator_ = std::move(started);
  return {};
}

// A TPM in failure mode is worse.
void Service::variables_trouble(const std::optional<base::Error>& trouble) {
  if (readiness_ == Readiness::kFailureMode) {
    return;
  }
  if (trouble) {
    tell(Readiness::kStoreFailing, trouble->message);
  } else if (readiness_ == Readiness::kStoreFailing) {
    tell_ready();
  }
}

vtpm::device::Options Service::device_options() {
  return {.state_blobs = setup_.home == Home::kHost ? vtpm::device::StateBlobs::kAllowed
                                                    : vtpm::device::StateBlobs::kRefused,
          .power_on_for_clients = !setup_.incoming,
          // The device tells this on the thread that ran the command.
          .on_failure =
              [this](const base::Error& error) {
                asio::post(io_, [this, cycle = device_.power_cycle(), message = error.message] {
                  if (cycle == device_.power_cycle()) {
                    tell(Readiness::kFailureMode, message);
                  }
                });
              },
          .on_lockout =
              [this](bool locked_out) {
                asio::post(io_, [this, cycle = device_.power_cycle(), locked_out] {
                  // What a TPM says that has been powered off since, or has failed, is over.
                  if (cycle != device_.power_cycle() || readiness_ == Readiness::kFailureMode) {
                    return;
                  }
                  if (locked_out) {
                    tell(Readiness::kLockedOut, "");
                  } else {
                    tell_ready();
                  }
                });
              },
          .attendant =
              [this](base::ByteView command) {
                upkeep_.before(command);
                return reports_.before(command);
              }};
}

void Service::tell(Readiness readiness, const std::string& reason) {
  if (condemned_) {
    return;  // there is nothing more to say of this TPM
  }
  if (std::exchange(readiness_, readiness) == readiness && reason_ == reason && told_) {
    return;
  }
  reason_ = reason;
  told_ = true;
  supervisor_.changed(readiness_, reason_, hypervisors_ > 0);
}

// Ready, as far as the guest cannot keep its TPM from attesting.
void Service::tell_ready() {
  if (setup_.incoming) {
    tell(Readiness::kReady, "");  // as well off as it was where it came from
  } else {
    const auto attestation = upkeep_.readiness();
    tell(attestation.readiness, attestation.reason);
  }
}

// What the whole TPM suffers from is worse than what keeps it from attesting.
void Service::attestation_changed() {
  const auto is_of_attestation = {Readiness::kReady,         Readiness::kAkCertMissing,
                                  Readiness::kAkCertRefused, Readiness::kAkMissing,
                                  Readiness::kAkSquatted,    Readiness::kReportMissing};
  if (std::find(is_of_attestation.begin(), is_of_attestation.end(), readiness_) !=
      is_of_attestation.end()) {
    tell_ready();
  }
}

// An offline boot comes back to its broker.
void Service::rejoin() {
  if (broker_ == nullptr) {
    return;
  }
  rejoin_.emplace(RejoinUpkeep::Surroundings{
      .io = io_,
      .device = device_,
      .broker = *broker_,
      .rejoined_at_rest =
          [this] {
            // Nobody else reads it: no certificate is asked for before upkeep_ hears of it.
            tell_freshness(statement_, *broker_);
            reports_.restate(statement_);
          },
      .settled = [this](const base::Result<void>& done) { rejoined(done); }});
  rejoin_->start();
}

void Service::rejoined(const base::Result<void>& done) {
  if (done) {
    supervisor_.reopened(broker_->opened_by());
    upkeep_.broker_is_back(broker_->wants_certification());
    return;
  }
  upkeep_.stop();
  tell(*broker_->trouble(), done.error().message);
  condemned_ = true;
}

void Service::powered_on(const base::Result<void>& done) {
  rest_soon();
  if (done && sealed_blobs_) {
    sealed_blobs_->powered_on();
  }
  if (done) {
    tell_ready();
  } else {
    tell(readiness_of_failure(done.error(), choice_, broker_), done.error().message);
  }
}

// A start goes deep; soon after it this thread has nothing to do for the life of the guest.
void Service::rest_soon() {
  rest_.expires_after(kUntilRest);
  rest_.async_wait([](boost::system::error_code error) {
    if (!error) {
      base::give_back_stack();
    }
  });
}

void Service::hypervisor_changed(bool there) {
  hypervisors_ += there ? 1 : -1;
  supervisor_.changed(readiness_, reason_, hypervisors_ > 0);
  if (alone_ && hypervisors_ == 0) {
    end();
  }
}

// The TPM is off when this is called, or is turned off by it.
base::Result<void> Service::close() {
  upkeep_.stop();
  if (rejoin_) {
    rejoin_->stop();
  }
  supervisor_.loop_reads(false);
  device_.retire();
  if (!closing_) {
    const auto kept = variables_ ? variables_->close() : base::Result<void>();
    closing_ = state_.close_store();
    if (!kept && *closing_) {
      closing_ = kept;
    }
  }
  return *closing_;
}

// Nothing of the TPM is here any more, nor is there anything to close.
void Service::handed_over() {
  upkeep_.stop();
  supervisor_.loop_reads(false);
  closing_ = base::Result<void>();
  io_.stop();
}

void Service::reclaimed() {
  orders_.close();
  supervisor_.loop_reads(true);
  watch_orders();
}

void Service::end() {
  supervisor_.changed(Readiness::kStopping, "", hypervisors_ > 0);
  if (const auto closed = close(); !closed) {
    base::log(base::LogLevel::kError, closed.error().message);
  }
  io_.stop();
}

void Service::watch_orders() {
  if (supervisor_.descriptor() < 0) {
    return;
  }
  if (!orders_.is_open()) {
    // A copy, as this closes what it watches.
    orders_.assign(::fcntl(supervisor_.descriptor(), F_DUPFD_CLOEXEC, 0));
  }
  orders_.async_wait(asio::posix::descriptor_base::wait_read,
                     [this](boost::system::error_code error) {
                       if (!error) {
                         follow_orders();
                       }
                     });
}

void Service::follow_orders() {
  auto order = supervisor_.order();
  for (; order != Order::kNone; order = supervisor_.order()) {
    if (!follow(order)) {
      return;
    }
  }
  watch_orders();
}

// Whether the keys of a TPM that its guest has used are its own is known a moment later.
void Service::watch_twin() {
  if (reports_.twin_descriptor() < 0) {
    return;
  }
  // A copy, as this closes what it watches.
  twin_.assign(::fcntl(reports_.twin_descriptor(), F_DUPFD_CLOEXEC, 0));
  twin_.async_wait(asio::posix::descriptor_base::wait_read,
                   [this](boost::system::error_code error) {
                     twin_.close();
                     if (!error) {
                       upkeep_.twin_has_spoken(reports_.settle());
                     }
                   });
}

void Service::answer_lockout() {
  while (const auto question = supervisor_.lockout_question()) {
    base::Result<void> reset;
    if (question->authorization) {
      // In a paravisor the host, whose question this is, is not to know what the tenant knows.
      reset = setup_.home == Home::kHost
                  ? device_.reset_lockout(question->authorization->expose())
                  : base::fail(base::ErrorCode::kDenied,
                               "the TPM of a confidential VM is reset from inside, by its tenant");
    }
    supervisor_.answer_lockout(question->serial,
                               reset ? device_.lockout() : base::fail(std::move(reset).error()));
  }
}

// False once no more orders will come.
bool Service::follow(Order order) {
  if (order == Order::kHandOver) {
    succession_->begin();
  }
  if (order == Order::kLockout) {
    answer_lockout();
  }
  if (order == Order::kTakeBack) {
    const auto taken = sealed_blobs_ ? sealed_blobs_->wanted_back(0) : base::Result<void>();
    if (!taken) {
      base::log(base::LogLevel::kError, taken.error().message);
    }
    supervisor_.take_back_ended(taken);
  }
  const bool stops = order == Order::kStop ||
                     (order == Order::kStopIfAwaiting && travel().migration == Migration::kAwaited);
  if (!stops && order != Order::kAlone) {
    return true;
  }
  if (stops || hypervisors_ == 0) {
    end();
    return false;
  }
  alone_ = true;
  succession_->go_on_alone();
  return false;
}

}  // namespace tools::vtpm_instance
