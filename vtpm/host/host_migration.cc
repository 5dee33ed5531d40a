// SPDX-License-Identifier: Apache-2.0
#include <string>
#include <utility>

#include "vtpm/host/host.h"
#include "vtpm/host/vm_parameters.h"

// How a VM's TPM moves between hosts, sealed to a ticket of the one that awaits it.
namespace vtpm::host {

namespace instance = strongroom::instance::v1;
using base::ErrorCode;
using keybroker::protocol::Readiness;

namespace {

tl::unexpected<base::Error> denied(const Vm& vm, const std::string& why) {
  return base::fail(ErrorCode::kDenied, "VM '" + vm.record.name + "' " + why);
}

base::Result<void> expect_moves(const Vm& vm) {
  if (vm.record.deleting) {
    return denied(vm, "is being deleted");
  }
  if (!moves(vm)) {
    return denied(vm,
                  "does not move with its TPM: that of a confidential VM stays, the key of another "
                  "lies at a key broker, and an ephemeral one has no store");
  }
  return {};
}

}  // namespace

bool moves(const Vm& vm) {
  return vm.is_persistent() && vm.document.tee_family == keybroker::protocol::TeeFamily::kNone &&
         vm.document.protection != keybroker::protocol::Protection::kBroker;
}

base::Result<void> Host::set_state_blobs(const VmId& id, const std::string& word) {
  TRY_ASSIGN(found, vm(id));
  auto& target = *found;
  if (target.record.deleting) {
    return denied(target, "is being deleted");
  }
  if (target.broken) {
    return base::fail(*target.broken);
  }
  TRY_ASSIGN(plain, decode_state_blobs(word, target.document));
  TRY(registry_.set_plain_state_blobs(id, plain));
  target.record.plain_state_blobs = plain;
  changed_(id);
  return {};
}

base::Result<void> Host::await_tpm(const VmId& id) {
  TRY_ASSIGN(found, vm(id));
  auto& target = *found;
  TRY(expect_moves(target));
  if (target.phase != Phase::kStopped) {
    const bool waits = target.travel.migration == Migration::kAwaited &&
                       (target.phase == Phase::kStarting || target.phase == Phase::kServing);
    return waits ? base::Result<void>()
                 : denied(target, "has an instance here; stop it before its TPM can come");
  }
  if (target.broken) {
    TRY(set_up(target));
  }
  // An instance that waits settles nothing, as it has not opened the store.
  if (!target.record.launch_document_before.empty()) {
    return denied(target,
                  "was converted, and has not started since: start it once, or take that back");
  }
  if (folder_.has_claim(id)) {
    return denied(target,
                  "has awaited its TPM before, and something may have been offered to it then: "
                  "`vtpmctl migrate cancel` that first");
  }
  auto setup = setup_of(target);
  setup.set_awaits_tpm(true);
  // What arrives is no new TPM.
  setup.set_may_create(true);
  return launch(target, Phase::kStarting, setup);
}

base::Result<void> Host::send_tpm(const VmId& id, base::ByteView ticket) {
  TRY_ASSIGN(found, vm(id));
  auto& target = *found;
  TRY(expect_moves(target));
  if (ticket.empty()) {
    return base::fail(ErrorCode::kInvalidArgument, "a ticket of the other host is needed");
  }
  if (target.travel.migration == Migration::kAwaited || folder_.has_claim(id)) {
    return denied(target, "awaits its TPM here; `vtpmctl migrate cancel` that first");
  }
  if (target.travel.migration == Migration::kOffered || target.readiness == Readiness::kMovedAway) {
    return denied(target, "was offered to another host already; `vtpmctl migrate cancel` that");
  }
  if (target.phase == Phase::kDetached ||
      (target.phase == Phase::kServing && !target.travel.seals_to_tickets)) {
    return denied(target,
                  "has an instance that knows nothing of tickets, and would let its TPM leave "
                  "unsealed: `vtpmctl replace` it first");
  }
  TRY(folder_.keep_ticket(id, ticket));
  changed_(id);
  return {};
}

base::Result<void> Host::release_tpm(const VmId& id) {
  TRY_ASSIGN(found, vm(id));
  auto& target = *found;
  TRY(expect_moves(target));
  if (target.phase != Phase::kStopped) {
    return denied(target, "has an instance; stop it first");
  }
  target.unreleased.reset();
  auto setup = setup_of(target);
  setup.set_release_ticket(true);
  setup.set_may_create(false);
  setup.set_await_serve(false);
  return launch(target, Phase::kReleasing, setup);
}

base::Result<void> Host::stop_awaiting(const VmId& id) {
  TRY_ASSIGN(found, vm(id));
  if (found->travel.migration != Migration::kAwaited) {
    return {};
  }
  instance::ToInstance message;
  message.mutable_stop()->set_only_while_it_awaits(true);
  return instances_.send(id, message);
}

void Host::release_ended(Vm& vm) {
  const bool took_back = std::exchange(vm.takes_back, false);
  const bool failed = !vm.said_why || vm.readiness != Readiness::kStopped;
  if (failed) {
    vm.unreleased = vm.said_why
                        ? base::Error{ErrorCode::kDenied, vm.reason}
                        : base::Error{ErrorCode::kUnavailable,
                                      "the instance that looked for the TPM died: try again"};
    warn(vm, (took_back ? "does not have its TPM back: " : "gives nothing back: ") +
                 vm.unreleased->message);
  }
  if (failed && took_back && vm.said_why) {
    stopped(vm, vm.readiness, vm.reason);  // as a start would have found it
    return;
  }
  stopped(vm, Readiness::kStopped, "");
}

base::Result<void> Host::take_tpm_back(const VmId& id, base::ByteView releases) {
  TRY_ASSIGN(found, vm(id));
  auto& target = *found;
  TRY(expect_moves(target));
  if (target.travel.migration == Migration::kAwaited || folder_.has_claim(id)) {
    return denied(target, "awaits its TPM here: `vtpmctl migrate cancel` without --release first");
  }
  if (releases.empty() && target.travel.migration == Migration::kOffered) {
    return denied(target,
                  "was offered to another host: `vtpmctl migrate cancel` it there, and give what "
                  "that gives to --release here");
  }
  if (target.phase != Phase::kServing && target.phase != Phase::kStopped) {
    return base::fail(ErrorCode::kUnavailable,
                      "VM '" + target.record.name +
                          "' has an instance that cannot be asked now: nothing was changed. Try "
                          "again when `vtpmctl show` says that it serves, or has stopped");
  }
  target.unreleased.reset();
  if (releases.empty()) {
    TRY_ASSIGN(ticket, folder_.read_ticket(id));
    if (ticket.empty()) {
      return base::fail(ErrorCode::kNotFound,
                        "VM '" + target.record.name + "' is in no migration with a ticket");
    }
    TRY(folder_.keep_ticket(id, {}));
  } else {
    TRY(folder_.keep_returned(id, releases));
  }
  if (target.phase == Phase::kServing) {
    // Who has read the ticket before says so.
    instance::ToInstance message;
    message.mutable_take_back();
    TRY(instances_.send(id, message));
    target.takes_back = true;
  } else if (!releases.empty()) {
    auto setup = setup_of(target);
    setup.set_take_back(true);
    setup.set_may_create(false);
    setup.set_await_serve(false);
    TRY(launch(target, Phase::kReleasing, setup));
    target.takes_back = true;
  }
  changed_(id);
  return {};
}

void Host::take_back_ended(const VmId& id, const instance::TakeBackEnded& ended) {
  const auto found = vm(id);
  if (!found || (*found)->phase != Phase::kServing || !std::exchange((*found)->takes_back, false)) {
    return;
  }
  if (!ended.taken_back()) {
    (*found)->unreleased = base::Error{ErrorCode::kDenied, ended.reason()};
  }
  changed_(id);
}

}  // namespace vtpm::host
