// SPDX-License-Identifier: Apache-2.0
#include "tools/vtpm-instance/succession.h"

#include <fcntl.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cerrno>
#include <chrono>
#include <string>
#include <system_error>
#include <utility>

#include "tools/vtpm-instance/attestation_record.h"
#include "vmgs/base/log.h"
#include "vtpm/handover/hand_over.h"

namespace tools::vtpm_instance {

namespace asio = boost::asio;
namespace handover = vtpm::handover;
using asio::posix::descriptor_base;
using base::ErrorCode;
using transport::tpm_socket::ControlServer;
using transport::tpm_socket::DataRoad;
using transport::tpm_socket::DataServer;

namespace {

// How long a successor may take to be born and to be set up, for which no guest waits; and to open
// what it is given, for which one does.
constexpr std::chrono::seconds kUntilReady{30};
constexpr std::chrono::seconds kUntilServing{10};

// How often it is looked whether all control clients are between two requests, and for how long.
constexpr std::chrono::milliseconds kNextLook{5};
constexpr std::chrono::seconds kUntilQuiet{5};

base::Descriptor copy_of(int descriptor) {
  return base::Descriptor(::fcntl(descriptor, F_DUPFD_CLOEXEC, 0));
}

base::Result<base::Descriptor> shared(const base::Descriptor& descriptor) {
  auto copy = copy_of(descriptor.number());
  if (!copy.is_open()) {
    return base::fail(ErrorCode::kIo,
                      "something cannot be handed over: " + std::generic_category().message(errno));
  }
  return copy;
}

}  // namespace

// Attempt is one successor. It calls `done` once, not from inside its constructor.
class Succession::Attempt {
 public:
  using Done = std::function<void(const base::Result<void>&)>;

  Attempt(asio::io_context& io, const Parts& parts, base::Descriptor successor, Done done)
      : parts_(parts), successor_(io, successor.release()), pause_(io), done_(std::move(done)) {
    pause_.expires_after(kUntilReady);
    pause_.async_wait([this](boost::system::error_code error) {
      if (!error) {
        done_(base::fail(ErrorCode::kUnavailable, "the new instance was not set up in time"));
      }
    });
    successor_.async_wait(descriptor_base::wait_read, [this](boost::system::error_code error) {
      if (!error && pause_.cancel() > 0) {
        successor_spoke();
      }
    });
  }

 private:
  void successor_spoke() {
    const auto now = std::chrono::steady_clock::now();
    if (auto ready = handover::announced(successor_.native_handle(), now + kUntilServing); !ready) {
      done_(ready);
      return;
    }
    // Whoever is accepted by now is a client once the turn comes.
    parts_.control.stop_accepting();
    give_up_at_ = now + kUntilQuiet;
    pause_.expires_after(std::chrono::milliseconds(0));
    try_when_due();
  }

  void try_when_due() {
    pause_.async_wait([this](boost::system::error_code error) {
      if (!error) {
        try_to_hand_over();
      }
    });
  }

  void try_to_hand_over() {
    // What a twin has to say cannot be said twice.
    if (parts_.reports.twin_descriptor() >= 0) {
      parts_.upkeep.twin_has_spoken(parts_.reports.settle());
    }
    if (parts_.reports.awaits_mark()) {
      return try_again(
          {ErrorCode::kUnavailable, "the TPM has not noted yet that a key in it is not its own"});
    }
    auto clients = parts_.control.clients();
    if (!clients) {
      return try_again(std::move(clients).error());
    }
    VariableService::AtRest variables;
    if (parts_.variables != nullptr) {
      auto suspended = parts_.variables->suspend();
      if (!suspended) {
        return try_again(std::move(suspended).error());
      }
      variables = *std::move(suspended);
    }
    done_(hand_over(*std::move(clients), std::move(variables)));
  }

  void try_again(base::Error error) {
    if (error.code != ErrorCode::kUnavailable || std::chrono::steady_clock::now() >= give_up_at_) {
      done_(base::fail(std::move(error)));
    } else {
      pause_.expires_after(kNextLook);
      try_when_due();
    }
  }

  base::Result<void> hand_over(std::vector<ControlServer::Client> clients,
                               VariableService::AtRest variables) {
    parts_.data.suspend();
    auto given = give_all(std::move(clients), std::move(variables));
    if (!given) {
      parts_.device.go_on();
      parts_.data.go_on();
      if (parts_.variables != nullptr) {
        parts_.variables->go_on();
      }
      return given;
    }
    // The store first: nothing may be written to it from here any more.
    parts_.state.abandon();
    parts_.device.abandon();
    return {};
  }

  base::Result<void> give_all(std::vector<ControlServer::Client> clients,
                              VariableService::AtRest variables) {
    handover::Estate estate;
    TRY_ASSIGN(tpm, parts_.device.suspend());
    estate.stopped_at = std::chrono::steady_clock::now();
    estate.tpm = std::move(tpm);
    TRY(parts_.state.hand_over(estate));
    const auto attestation = parts_.upkeep.so_far();
    estate.attestation = record_of(attestation);
    if (attestation.password != nullptr) {
      const auto password = attestation.password->bytes.expose();
      estate.index_password = base::SecretBytes(password.size());
      std::copy(password.begin(), password.end(), estate.index_password.fill().begin());
    }
    estate.memory_flash = std::move(variables.image);
    if (variables.client) {
      estate.flash_client = handover::FlashClient{.socket = std::move(variables.client->socket),
                                                  .unused = std::move(variables.client->unused),
                                                  .unsent = std::move(variables.client->unsent)};
    }
    for (auto& client : clients) {
      estate.control_clients.push_back({.socket = std::move(client.socket),
                                        .owns_data_channel = client.session.owns_data_channel,
                                        .padding_owed = client.session.padding_owed,
                                        .unused = std::move(client.session.unused)});
    }
    TRY_ASSIGN(channels, parts_.data.channels());
    for (auto& channel : channels) {
      estate.data_channels.push_back({.socket = std::move(channel.socket),
                                      .passed = channel.road == DataRoad::kPassed,
                                      .part = std::move(channel.part)});
    }
    const auto& belongings = parts_.supervisor.belongings();
    TRY_ASSIGN(lease, shared(belongings.lease));
    TRY_ASSIGN(door, shared(belongings.door));
    estate.lease = std::move(lease);
    estate.door = std::move(door);
    return handover::give(successor_.native_handle(), std::move(estate),
                          std::chrono::steady_clock::now() + kUntilServing);
  }

  const Parts& parts_;
  asio::posix::stream_descriptor successor_;
  asio::steady_timer pause_;
  std::chrono::steady_clock::time_point give_up_at_;
  const Done done_;
};

Succession::Succession(asio::io_context& io, const Parts& parts, int control_listener,
                       Events events)
    : io_(io),
      parts_(parts),
      events_(std::move(events)),
      control_listener_(copy_of(control_listener)),
      door_(io) {}

Succession::~Succession() = default;

void Succession::begin() {
  auto successor = parts_.supervisor.successor();
  if (!successor.is_open() || attempt_) {
    parts_.supervisor.hand_over_ended(
        base::fail(ErrorCode::kUnavailable, "there is a successor on its way already"));
    return;
  }
  attempt_ =
      std::make_unique<Attempt>(io_, parts_, std::move(successor),
                                [this](const base::Result<void>& outcome) { ended(outcome); });
}

void Succession::ended(const base::Result<void>& outcome) {
  parts_.supervisor.hand_over_ended(outcome);
  if (outcome) {
    events_.handed_over();
    return;
  }
  base::log(base::LogLevel::kWarning,
            "no other process takes the place of this one: " + outcome.error().message);
  asio::post(io_, [this] {
    attempt_.reset();
    parts_.control.stop_accepting();
    if (auto listener = copy_of(control_listener_.number()); !alone_ && listener.is_open()) {
      parts_.control.accept_at(std::move(listener));
    }
    watch_door();
  });
}

// A vtpmd that comes later listens for hypervisors elsewhere.
void Succession::go_on_alone() {
  alone_ = true;
  awaits_vtpmd_ = true;
  parts_.control.stop_accepting();
  watch_door();
}

// Whoever knocks while a successor is on its way waits for the one that serves in the end.
void Succession::watch_door() {
  const auto& door = parts_.supervisor.belongings().door;
  if (!awaits_vtpmd_ || attempt_ || !door.is_open()) {
    return;
  }
  if (!door_.is_open()) {
    // A copy, as this closes what it watches.
    door_.assign(copy_of(door.number()).release());
  }
  door_.async_wait(descriptor_base::wait_read, [this](boost::system::error_code error) {
    if (error) {
      return;
    }
    if (parts_.supervisor.let_in()) {
      awaits_vtpmd_ = false;
      events_.reclaimed();
    } else {
      watch_door();
    }
  });
}

base::Result<Heritage> await_heritage(base::Descriptor& predecessor) {
  const auto deadline = std::chrono::steady_clock::now() + kUntilReady + kUntilQuiet;
  TRY(handover::announce(predecessor.number(), deadline));
  TRY_ASSIGN(estate, handover::await(predecessor.number(), deadline));
  Heritage heritage;
  heritage.estate = std::move(estate);
  heritage.predecessor = &predecessor;
  heritage.locked_out = heritage.estate.tpm.locked_out;
  return heritage;
}

base::Result<void> claim(Heritage& heritage, vtpm::device::Device& device) {
  TRY(device.resume(std::move(heritage.estate.tpm)));
  const handover::Decision decision(std::move(heritage.estate.decision));
  if (!handover::claim(heritage.predecessor->number(), decision)) {
    return base::fail(ErrorCode::kUnavailable, "the instance before goes on");
  }
  *heritage.predecessor = {};
  return {};
}

VariableService::AtRest variables_of(Heritage& heritage) {
  VariableService::AtRest variables;
  variables.image = std::move(heritage.estate.memory_flash);
  if (auto client = std::exchange(heritage.estate.flash_client, std::nullopt)) {
    variables.client = transport::nbd::Server::AtRest{.socket = std::move(client->socket),
                                                      .unused = std::move(client->unused),
                                                      .unsent = std::move(client->unsent)};
  }
  return variables;
}

std::vector<DataServer::Channel> data_channels_of(Heritage& heritage) {
  std::vector<DataServer::Channel> channels;
  for (auto& channel : heritage.estate.data_channels) {
    channels.push_back({.socket = std::move(channel.socket),
                        .road = channel.passed ? DataRoad::kPassed : DataRoad::kListener,
                        .part = std::move(channel.part)});
  }
  return channels;
}

void enter_upon(Heritage& heritage, Supervisor& supervisor, ControlServer& control) {
  auto& estate = heritage.estate;
  supervisor.belongings() = {std::move(estate.lease), std::move(estate.door)};
  const auto pause = std::chrono::duration_cast<std::chrono::microseconds>(
      std::chrono::steady_clock::now() - estate.stopped_at);
  supervisor.taken_over(heritage.opened, pause);
  for (auto& client : estate.control_clients) {
    control.serve({.socket = std::move(client.socket),
                   .session = {.owns_data_channel = client.owns_data_channel,
                               .padding_owed = client.padding_owed,
                               .unused = std::move(client.unused)}});
  }
  base::log(base::LogLevel::kInfo,
            "serves in the place of another process; the TPM stood still for " +
                std::to_string(pause.count()) + " us");
}

}  // namespace tools::vtpm_instance
