// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <csignal>
#include <utility>

#include "vtpm/host/host.h"
#include "vtpm/host/lease.h"

namespace vtpm::host {

namespace {

namespace instance = strongroom::instance::v1;
namespace protocol = keybroker::protocol;
using base::ErrorCode;
using protocol::Readiness;

Migration migration_of(instance::State::Migration said) {
  switch (said) {
    case instance::State::AWAITED:
      return Migration::kAwaited;
    case instance::State::OFFERED:
      return Migration::kOffered;
    default:
      return Migration::kNone;
  }
}

// How often a launch that was lost with the warmed parent is tried again.
constexpr int kMaxLostLaunches = 3;

}  // namespace

void Host::connection_waits(const VmId& id) {
  const auto found = vm(id);
  if (!found || (*found)->phase != Phase::kStopped) {
    return;
  }
  if (auto started = start(id); !started && (*found)->phase == Phase::kStopped) {
    warn(**found, started.error().message);
  }
}

void Host::forked(const VmId& id, int pid) {
  const auto found = vm(id);
  const auto is_of_one = {Phase::kStarting, Phase::kStopping, Phase::kConverting,
                          Phase::kReleasing};
  if (found && std::ranges::find(is_of_one, (*found)->phase) != is_of_one.end()) {
    (*found)->pid = pid;
    (*found)->last_pid = pid;
    (*found)->forked = true;
    changed_(id);
  }
}

void Host::fork_failed(const VmId& id, const std::string& reason) {
  const auto found = vm(id);
  const auto is_of_one = {Phase::kStarting, Phase::kConverting, Phase::kReleasing};
  if (found && std::ranges::find(is_of_one, (*found)->phase) != is_of_one.end()) {
    (*found)->said_why = true;
    (*found)->readiness = Readiness::kNotSetUp;
    (*found)->reason = reason;
  }
}

void Host::opened(const VmId& id, const instance::Opened& opened) {
  const auto found = vm(id);
  if (found && (*found)->phase == Phase::kServing) {
    (*found)->opened_by = opened.opened_by();
    changed_(id);
    return;
  }
  if (!found || (*found)->phase != Phase::kStarting) {
    return;
  }
  auto& target = **found;
  target.forked = true;
  target.opened_by = opened.opened_by();
  target.simulated_tee = opened.simulated_tee();
  if (target.pid == 0) {
    // The child was quicker than its parent's word that it was born; it has signed the lease.
    if (const auto holder = lease_holder(folder_.lease(id))) {
      target.pid = holder->pid;
      target.last_pid = holder->pid;
    }
  }
  // It waits for that wherever it may make a store, as one may that awaits a TPM.
  const bool awaits_serve =
      target.is_persistent() && (!target.record.has_state || target.record.is_second_store() ||
                                 target.travel.migration == Migration::kAwaited);
  const auto end = [&](const std::string& why) {
    warn(target, "killed, for the registry cannot be written: " + why);
    target.said_why = true;
    target.readiness = Readiness::kStoreFailing;
    target.reason = why;
    instances_.kill(id);
  };
  if (target.is_persistent() && !target.record.has_state) {
    // From here on a store that is not there is missing: a guest may have used it.
    if (auto noted = registry_.note_state(id); !noted) {
      end(noted.error().message);
      return;
    }
    target.record.has_state = true;
  }
  if (!settle(target)) {
    end("its conversion cannot be ended");
    return;
  }
  if (awaits_serve) {
    instance::ToInstance message;
    message.mutable_serve();
    if (auto sent = instances_.send(id, message); !sent) {
      warn(target, "killed, for it takes no message: " + sent.error().message);
      instances_.kill(id);
      return;
    }
  }
  // How it is, it says next.
  target.phase = Phase::kServing;
  changed_(id);
}

void Host::said(const VmId& id, const instance::State& state) {
  const auto found = vm(id);
  if (!found || (*found)->phase == Phase::kStopped || (*found)->phase == Phase::kDetached) {
    return;
  }
  auto& target = **found;
  const auto readiness = protocol::parse_readiness(state.readiness());
  if (!readiness) {
    warn(target, "its instance says " + readiness.error().message);
    return;
  }
  target.forked = true;
  target.guest = state.guest();
  target.said_why = state.is_last();
  target.travel = {.migration = migration_of(state.migration()),
                   .seals_to_tickets = state.seals_to_tickets(),
                   .states_taken = state.states_taken(),
                   .states_put_in = state.states_put_in()};
  if (target.phase != Phase::kStopping || target.said_why) {
    target.readiness = *readiness;
    target.reason = state.reason();
  }
  changed_(id);
}

void Host::receipt_came(const VmId& id, const instance::Receipt& receipt) {
  const auto found = vm(id);
  if (!found || !(*found)->is_persistent()) {
    return;
  }
  // Nobody waits for it: a broker that has its records needs none.
  if (auto kept = folder_.keep_receipt(id, base::bytes_of(receipt.receipt())); !kept) {
    warn(**found, "a receipt of its key broker is not kept: " + kept.error().message);
  }
}

void Host::broker_answered(const VmId& id, const BrokerContact& contact) {
  const auto found = vm(id);
  if (found) {
    (*found)->broker = contact;
    changed_(id);
  }
}

void Host::taken_over(const VmId& id, const instance::TakenOver& taken_over) {
  const auto found = vm(id);
  if (!found || (*found)->phase == Phase::kStopped || (*found)->phase == Phase::kDetached) {
    return;
  }
  auto& target = **found;
  target.replacing = false;
  target.replaced = Replacement{.pause = std::chrono::microseconds(taken_over.pause_microseconds()),
                                .failed = std::nullopt};
  target.opened_by = taken_over.opened().opened_by();
  target.simulated_tee = taken_over.opened().simulated_tee();
  target.said_why = false;
  target.ended_how.clear();
  target.states_taken_before += std::exchange(target.travel.states_taken, 0);
  target.states_put_in_before += std::exchange(target.travel.states_put_in, 0);
  if (const auto holder = lease_holder(folder_.lease(id))) {
    target.pid = holder->pid;
    target.last_pid = holder->pid;
  }
  if (target.phase == Phase::kStopping) {
    // It was told to the one before.
    instance::ToInstance message;
    message.mutable_stop();
    if (!instances_.send(id, message)) {
      instances_.kill(id);
    }
  }
  changed_(id);
}

void Host::replacement_failed(const VmId& id, const std::string& reason) {
  const auto found = vm(id);
  if (!found || !(*found)->replacing) {
    return;
  }
  auto& target = **found;
  target.replacing = false;
  target.replaced =
      Replacement{.pause = {}, .failed = base::Error{ErrorCode::kUnavailable, reason}};
  warn(target, "keeps its instance: " + reason);
  changed_(id);
}

void Host::reclaimed(const VmId& id, const instance::Opened& opened) {
  const auto found = vm(id);
  if (!found || (*found)->phase != Phase::kDetached) {
    return;
  }
  auto& target = **found;
  target.phase = Phase::kServing;
  target.opened_by = opened.opened_by();
  target.simulated_tee = opened.simulated_tee();
  target.forked = true;
  target.said_why = false;
  target.last_pid = target.pid;
  changed_(id);
}

void Host::instance_ended(const VmId& id) {
  const auto found = vm(id);
  if (!found || (*found)->phase == Phase::kStopped || (*found)->phase == Phase::kDetached) {
    return;
  }
  auto& target = **found;
  if (target.phase == Phase::kConverting) {
    conversion_ended(target);
    return;
  }
  if (target.phase == Phase::kReleasing) {
    release_ended(target);
    return;
  }
  if (std::exchange(target.replacing, false)) {
    target.replaced = Replacement{
        .pause = {}, .failed = base::Error{ErrorCode::kUnavailable, "the instance has ended"}};
  }
  const bool was_starting = target.phase == Phase::kStarting;
  if (was_starting && !target.said_why && !target.forked &&
      target.travel.migration == Migration::kNone && target.lost_launches < kMaxLostLaunches) {
    // The parent died before it forked, and took the request with it.
    ++target.lost_launches;
    if (auto launched = launch(target); !launched) {
      warn(target, launched.error().message);
    }
    return;
  }
  const auto readiness = target.said_why ? target.readiness : Readiness::kCrashed;
  auto reason = target.reason;
  if (!target.said_why) {
    reason = target.forked ? "the instance died" : "the warmed parent died before it forked one";
    reason += target.ended_how.empty() ? "" : ": " + target.ended_how;
  }
  if (was_starting) {
    start_failed(target, readiness, reason);
    return;
  }
  if (readiness == Readiness::kCrashed) {
    warn(target, reason);
  }
  stopped(target, readiness, reason);
}

void Host::process_ended(int pid, const std::string& how) {
  for (auto& [id, each] : vms_) {
    if (each.last_pid != pid) {
      continue;
    }
    each.last_pid = 0;
    if (each.phase == Phase::kStopped && each.readiness == Readiness::kCrashed) {
      each.reason += ": " + how;
      warn(each, each.reason);
      changed_(id);
    } else {
      each.ended_how = how;
    }
    return;
  }
}

void Host::holder_ended(const VmId& id) {
  const auto found = vm(id);
  if (found && (*found)->phase == Phase::kDetached) {
    stopped(**found, Readiness::kStopped, "");
  }
}

}  // namespace vtpm::host
