// SPDX-License-Identifier: Apache-2.0
#include "tools/vtpm-instance/run.h"

#include <fcntl.h>

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <csignal>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "tools/vtpm-instance/attestation_upkeep.h"
#include "tools/vtpm-instance/broker_start.h"
#include "tools/vtpm-instance/conversion.h"
#include "tools/vtpm-instance/device_service.h"
#include "tools/vtpm-instance/launch_choice.h"
#include "tools/vtpm-instance/listening.h"
#include "tools/vtpm-instance/rejoin_upkeep.h"
#include "tools/vtpm-instance/statement.h"
#include "tools/vtpm-instance/tee_choice.h"
#include "tools/vtpm-instance/tpm_state.h"
#include "tools/vtpm-instance/variable_service.h"
#include "transport/tpm_socket/control_server.h"
#include "transport/tpm_socket/data_server.h"
#include "vmgs/base/idle_memory.h"
#include "vmgs/base/log.h"
#include "vtpm/boot/broker_boot.h"
#include "vtpm/device/device.h"
#include "vtpm/engine/engine.h"
#include "vtpm/provision/deferring_store.h"
#include "vtpm/provision/report_service.h"
#include "vtpm/provision/shared_tee.h"

namespace tools::vtpm_instance {

namespace asio = boost::asio;
using keybroker::protocol::Readiness;
using transport::tpm_socket::ControlServer;
using transport::tpm_socket::DataServer;

namespace {

// How long after a start its thread has come to rest.
constexpr std::chrono::seconds kUntilRest{1};

// What the broker or the state's past is the reason for, and else what the error says.
Readiness readiness_of_failure(const base::Error& error, const LaunchChoice& choice,
                               const vtpm::boot::BrokerBoot* broker) {
  return broker != nullptr && broker->trouble() ? *broker->trouble() : readiness_of(error, choice);
}

// Service is the time in which a hypervisor is served. All of it runs on the thread of serve().
class Service {
 public:
  // What the TPM is besides its commands.
  struct Tpm {
    vtpm::engine::Engine& engine;
    vtpm::provision::DeferringStore& store;
    vtpm::provision::ReportService& reports;
    std::optional<vtpm::provision::Vouching> vouching;
    AttestationUpkeep::Begun begun;
    vtpm::boot::BrokerBoot* broker;         // with protection broker
    vtpm::provision::Statement& statement;  // that `vouching` shows
  };

  Service(const InstanceSetup& setup, const LaunchChoice& choice, TpmState& state, Tpm tpm,
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

  base::Result<void> serve(Endpoint control, Endpoint data, Endpoint variables) {
    TRY_ASSIGN(data_listening, listen_at(std::move(data)));
    TRY_ASSIGN(variables_listening, listen_at(std::move(variables)));
    TRY(serve_variables(std::move(variables_listening.socket)));
    TRY_ASSIGN(data_server, DataServer::start(commands_, std::move(data_listening.socket), {}));
    ControlOfDevice control_of_device(
        device_, *data_server, setup_.home == Home::kHost ? &state_blobs_ : nullptr,
        {.powered_on = [this](const base::Result<void>& done) { powered_on(done); },
         .shut_down = [this] { return close(); }});
    TRY_ASSIGN(control_listening, listen_at(std::move(control)));
    control_.emplace(io_, std::move(control_listening.socket), control_of_device,
                     transport::tpm_socket::ControlLimits{},
                     transport::tpm_socket::ControlEvents{
                         .shut_down = [this] { io_.stop(); },
                         .hypervisor = [this](bool there) { hypervisor_changed(there); }});
    signals_.async_wait([this](boost::system::error_code error, int) {
      if (!error) {
        end();
      }
    });
    watch_orders();
    supervisor_.loop_reads(true);
    watch_twin();
    upkeep_.start();
    rejoin();
    rest_soon();
    if (setup_.incoming) {
      tell(Readiness::kProvisioning, "");
    } else {
      tell_ready();
    }
    io_.run();
    control_.reset();
    return closing_ ? *closing_ : close();
  }

 private:
  base::Result<void> serve_variables(base::Descriptor listener) {
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
    return {};
  }

  // A TPM in failure mode is worse.
  void variables_trouble(const std::optional<base::Error>& trouble) {
    if (readiness_ == Readiness::kFailureMode) {
      return;
    }
    if (trouble) {
      tell(Readiness::kStoreFailing, trouble->message);
    } else if (readiness_ == Readiness::kStoreFailing) {
      tell_ready();
    }
  }

  vtpm::device::Options device_options() {
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

  void tell(Readiness readiness, const std::string& reason) {
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
  void tell_ready() {
    if (setup_.incoming) {
      tell(Readiness::kReady, "");  // as well off as it was where it came from
    } else {
      const auto attestation = upkeep_.readiness();
      tell(attestation.readiness, attestation.reason);
    }
  }

  // What the whole TPM suffers from is worse than what keeps it from attesting.
  void attestation_changed() {
    const auto is_of_attestation = {Readiness::kReady,         Readiness::kAkCertMissing,
                                    Readiness::kAkCertRefused, Readiness::kAkMissing,
                                    Readiness::kAkSquatted,    Readiness::kReportMissing};
    if (std::find(is_of_attestation.begin(), is_of_attestation.end(), readiness_) !=
        is_of_attestation.end()) {
      tell_ready();
    }
  }

  // An offline boot comes back to its broker.
  void rejoin() {
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

  void rejoined(const base::Result<void>& done) {
    if (done) {
      supervisor_.reopened(broker_->opened_by());
      upkeep_.broker_is_back(broker_->wants_certification());
      return;
    }
    upkeep_.stop();
    tell(*broker_->trouble(), done.error().message);
    condemned_ = true;
  }

  void powered_on(const base::Result<void>& done) {
    rest_soon();
    if (done) {
      tell_ready();
    } else {
      tell(readiness_of_failure(done.error(), choice_, broker_), done.error().message);
    }
  }

  // A start goes deep; soon after it this thread has nothing to do for the life of the guest.
  void rest_soon() {
    rest_.expires_after(kUntilRest);
    rest_.async_wait([](boost::system::error_code error) {
      if (!error) {
        base::give_back_stack();
      }
    });
  }

  void hypervisor_changed(bool there) {
    hypervisors_ += there ? 1 : -1;
    supervisor_.changed(readiness_, reason_, hypervisors_ > 0);
    if (alone_ && hypervisors_ == 0) {
      end();
    }
  }

  // The TPM is off when this is called, or is turned off by it.
  base::Result<void> close() {
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

  void end() {
    supervisor_.changed(Readiness::kStopping, "", hypervisors_ > 0);
    if (const auto closed = close(); !closed) {
      base::log(base::LogLevel::kError, closed.error().message);
    }
    io_.stop();
  }

  void watch_orders() {
    if (supervisor_.descriptor() < 0) {
      return;
    }
    if (!orders_.is_open()) {
      // A copy, as this closes what it watches.
      orders_.assign(::fcntl(supervisor_.descriptor(), F_DUPFD_CLOEXEC, 0));
    }
    orders_.async_wait(asio::posix::descriptor_base::wait_read,
                       [this](boost::system::error_code error) {
                         if (!error && follow(supervisor_.order())) {
                           watch_orders();
                         }
                       });
  }

  // Whether the keys of a TPM that its guest has used are its own is known a moment later.
  void watch_twin() {
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

  // False once no more orders will come.
  bool follow(Order order) {
    if (order == Order::kNone) {
      return true;
    }
    if (order == Order::kStop || hypervisors_ == 0) {
      end();
      return false;
    }
    alone_ = true;
    control_->stop_accepting();
    return false;
  }

  const InstanceSetup& setup_;
  const LaunchChoice& choice_;
  TpmState& state_;
  Supervisor& supervisor_;
  vtpm::provision::ReportService& reports_;
  vtpm::boot::BrokerBoot* const broker_;
  vtpm::provision::Statement& statement_;

  asio::io_context io_{1};
  vtpm::device::Device device_;
  AttestationUpkeep upkeep_;
  std::optional<RejoinUpkeep> rejoin_;
  CommandsOfDevice commands_;
  std::unique_ptr<VariableService> variables_;
  SwtpmStateBlobs state_blobs_;
  std::optional<ControlServer> control_;
  asio::signal_set signals_;
  asio::posix::stream_descriptor orders_;
  asio::posix::stream_descriptor twin_;
  asio::steady_timer rest_;

  Readiness readiness_ = Readiness::kProvisioning;
  std::string reason_;
  bool told_ = false;
  bool condemned_ = false;
  int hypervisors_ = 0;
  bool alone_ = false;
  std::optional<base::Result<void>> closing_;
};

}  // namespace

base::Result<void> run(InstanceSetup setup, Supervisor& supervisor) {
  const auto refuse = [&](Readiness readiness, base::Error error) {
    supervisor.changed(readiness, error.message, false);
    return base::fail(std::move(error));
  };
  auto choice = choose_launch(setup);
  if (!choice) {
    const bool other_launch = choice.error().code == base::ErrorCode::kAuthentication;
    return refuse(other_launch ? Readiness::kSealedElsewhere : Readiness::kNotSetUp,
                  std::move(choice).error());
  }
  if (choice->protection == keybroker::protocol::Protection::kBroker &&
      supervisor.broker() == nullptr) {
    return refuse(Readiness::kNotSetUp,
                  {base::ErrorCode::kInvalidArgument,
                   "the launch document has the key of this VM's state at a key broker, and an "
                   "instance reaches one through vtpmd only: start the VM with vtpmd, whose "
                   "configuration names the broker"});
  }
  if (!setup.export_for_openhcl) {
    for (const auto* endpoint : {&setup.control, &setup.data, &setup.variables}) {
      if (auto bindable = expect_bindable(*endpoint); !bindable) {
        return refuse(Readiness::kNotSetUp, std::move(bindable).error());
      }
    }
  }
  if (setup.conversion) {
    auto converted = convert(setup, *choice);
    if (!converted) {
      const auto readiness = readiness_of(converted.error(), *choice);
      return refuse(readiness, std::move(converted).error());
    }
    return supervisor.converted();
  }
  // Guest, upkeep and broker ask it on threads of their own.
  const auto tee = std::exchange(choice->tee, nullptr);
  if (tee) {
    choice->tee = std::make_unique<vtpm::provision::SharedTee>(*tee);
  }
  auto broker = broker_boot(setup, *choice, supervisor);
  if (!broker) {
    return refuse(Readiness::kNotSetUp, std::move(broker).error());
  }
  auto state = TpmState::open(setup, *choice, supervisor.certifier(), broker->get());
  if (!state && supervisor.stopping().stop_requested()) {
    return base::fail(std::move(state).error());  // as ordered
  }
  if (!state) {
    const auto readiness = readiness_of_failure(state.error(), *choice, broker->get());
    return refuse(readiness, std::move(state).error());
  }
  if (setup.export_for_openhcl) {
    base::log(base::LogLevel::kInfo,
              "the store has a HW_KEY_PROTECTOR for OpenHCL; any VM of this image on this machine "
              "with that vm-configuration opens it, until the next start here");
    return (*state)->close();
  }
  if (auto kept = store_first_variables(setup, *choice, (*state)->flash_store()); !kept) {
    return refuse(readiness_of(kept.error(), *choice), std::move(kept).error());
  }
  vtpm::provision::DeferringStore nv_store((*state)->nv_store());
  auto engine = vtpm::engine::Engine::create(nv_store);
  if (!engine) {
    return refuse(Readiness::kNotSetUp, std::move(engine).error());
  }
  auto statement = statement_of(setup, *choice, (*state)->identity(), broker->get());
  if (!statement) {
    return refuse(Readiness::kNotSetUp, std::move(statement).error());
  }
  const bool simulated = choice->tee != nullptr && kSimulatedTee;
  if (auto may_serve = supervisor.opened({.created = (*state)->created(),
                                          .opened_by = (*state)->opened_by(),
                                          .simulated_tee = simulated,
                                          .awaited = setup.incoming});
      !may_serve) {
    TRY((*state)->close());
    return may_serve;
  }
  base::Result<void> served;
  {
    AttestationUpkeep::Begun begun((*state)->provisioned());
    if (*broker) {
      begun.awaits_broker = (*broker)->is_offline();
      if ((*broker)->wants_certification()) {
        begun.renew_at = std::chrono::sys_seconds();  // at once
      }
    }
    vtpm::provision::ReportService reports(**engine, nv_store, choice->tee.get(), *statement,
                                           std::move((*state)->provisioned()));
    std::optional<vtpm::provision::Vouching> vouching;
    auto* const certifier = *broker ? broker->get() : supervisor.certifier();
    if (certifier != nullptr) {
      vouching.emplace(vtpm::provision::Vouching{
          .certifier = *certifier, .statement = *statement, .tee = choice->tee.get()});
    }
    Service service(setup, *choice, **state,
                    {.engine = **engine,
                     .store = nv_store,
                     .reports = reports,
                     .vouching = std::move(vouching),
                     .begun = std::move(begun),
                     .broker = broker->get(),
                     .statement = *statement},
                    supervisor);
    served =
        service.serve(std::move(setup.control), std::move(setup.data), std::move(setup.variables));
  }
  const auto closed = (*state)->close();
  if (!served) {
    return refuse(Readiness::kStoreFailing, std::move(served).error());
  }
  return closed;
}

}  // namespace tools::vtpm_instance
