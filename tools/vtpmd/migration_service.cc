// SPDX-License-Identifier: Apache-2.0
// The calls about how a TPM leaves through its hypervisor, and migrations sealed to a ticket.
#include <chrono>
#include <string>
#include <utility>

#include "tools/vtpmd/vm_service.h"
#include "transport/rpc/within.h"
#include "vmgs/base/log.h"
#include "vtpm/host/vm_view.h"

namespace tools::vtpmd {

namespace {

namespace api = strongroom::host::v1;
namespace asio = boost::asio;
using base::ErrorCode;
using transport::rpc::CallContext;
using vtpm::host::Migration;
using vtpm::host::Phase;
using vtpm::host::Vm;
using vtpm::host::VmId;

// How long an instance may take to look into its store and to begin or end.
constexpr std::chrono::seconds kLimit{60};

void note_caller(const char* method, const Vm& vm, const CallContext& context) {
  base::log(base::LogLevel::kInfo, std::string(method) + " of '" + vm.record.name +
                                       "' asked for by " + describe(context.peer));
}

base::Error too_slow(const char* what) {
  return {ErrorCode::kUnavailable,
          std::string("the instance has not ") + what + " in time; `vtpmctl show` tells how it is"};
}

}  // namespace

asio::awaitable<bool> VmService::wait_for_start(VmId id) {
  Changes::Watch watch(changes_);
  for (const auto* vm = host_.find(id); vm != nullptr && vm->phase == Phase::kStarting;
       vm = host_.find(id)) {
    co_await watch.next();
  }
  co_return true;
}

// Until its instance has ended, or serves a TPM that has arrived.
asio::awaitable<bool> VmService::wait_while_awaited(VmId id) {
  Changes::Watch watch(changes_);
  const auto is_awaited = [](const Vm& vm) {
    return vm.phase != Phase::kStopped && (vm.phase != Phase::kServing || vm.said_why ||
                                           vm.travel.migration == Migration::kAwaited);
  };
  for (const auto* vm = host_.find(id); vm != nullptr && is_awaited(*vm); vm = host_.find(id)) {
    co_await watch.next();
  }
  co_return true;
}

asio::awaitable<bool> VmService::wait_while_taking_back(VmId id) {
  Changes::Watch watch(changes_);
  for (const auto* vm = host_.find(id); vm != nullptr && vm->takes_back; vm = host_.find(id)) {
    co_await watch.next();
  }
  co_return true;
}

VmService::Answer<api::SetStateBlobsResponse> VmService::set_state_blobs(
    api::SetStateBlobsRequest request, Context context) {
  auto found = host_.find(request.vm());
  CO_TRY_ASSIGN(vm, std::move(found));
  note_caller("SetStateBlobs", *vm, context);
  CO_TRY(host_.set_state_blobs(vm->id(), request.state_blobs()));
  api::SetStateBlobsResponse response;
  *response.mutable_vm() = view_of(host_, *vm);
  co_return response;
}

VmService::Answer<api::AwaitTpmResponse> VmService::await_tpm(api::AwaitTpmRequest request,
                                                              Context context) {
  auto found = host_.find(request.vm());
  CO_TRY_ASSIGN(vm, std::move(found));
  note_caller("AwaitTpm", *vm, context);
  const auto id = vm->id();
  CO_TRY(host_.await_tpm(id));
  const auto started = co_await transport::rpc::within(kLimit, wait_for_start(id));
  const auto* after = host_.find(id);
  if (!started || after == nullptr) {
    co_return base::fail(too_slow("begun"));
  }
  if (after->phase != Phase::kServing) {
    co_return base::fail(ErrorCode::kDenied, after->reason.empty()
                                                 ? "it was stopped before there was a ticket"
                                                 : after->reason);
  }
  auto read = host_.folder().read_ticket(id);
  CO_TRY_ASSIGN(ticket, std::move(read));
  api::AwaitTpmResponse response;
  *response.mutable_vm() = view_of(host_, *after);
  response.set_ticket(ticket.data(), ticket.size());
  co_return response;
}

VmService::Answer<api::SendTpmResponse> VmService::send_tpm(api::SendTpmRequest request,
                                                            Context context) {
  auto found = host_.find(request.vm());
  CO_TRY_ASSIGN(vm, std::move(found));
  note_caller("SendTpm", *vm, context);
  CO_TRY(host_.send_tpm(vm->id(), base::bytes_of(request.ticket())));
  api::SendTpmResponse response;
  *response.mutable_vm() = view_of(host_, *vm);
  co_return response;
}

VmService::Answer<api::CancelMigrationResponse> VmService::cancel_migration(
    api::CancelMigrationRequest request, Context context) {
  auto found = host_.find(request.vm());
  CO_TRY_ASSIGN(vm, std::move(found));
  note_caller("CancelMigration", *vm, context);
  const auto id = vm->id();
  api::CancelMigrationResponse response;
  if (request.release().empty() &&
      (vm->travel.migration == Migration::kAwaited || host_.folder().has_claim(id))) {
    auto given = co_await give_back(id);
    CO_TRY(std::move(given));
    // Nothing, if the ticket was never whole.
    auto read = host_.folder().read_releases(id);
    CO_TRY_ASSIGN(releases, std::move(read));
    response.set_release(releases.data(), releases.size());
  } else if (const auto kept = request.release().empty() ? kept_releases(*vm) : base::Bytes();
             !kept.empty()) {
    // Said before, and not heard.
    response.set_release(kept.data(), kept.size());
  } else {
    auto taken = co_await take_back(id, request.release());
    CO_TRY(std::move(taken));
  }
  if (const auto* after = host_.find(id)) {
    *response.mutable_vm() = view_of(host_, *after);
  }
  co_return response;
}

// What the host that awaited the TPM has given back by now.
base::Bytes VmService::kept_releases(const Vm& vm) const {
  if (vm.travel.migration != Migration::kNone) {
    return {};
  }
  const auto ticket = host_.folder().read_ticket(vm.id());
  if (!ticket || !ticket->empty()) {
    return {};
  }
  return host_.folder().read_releases(vm.id()).value_or(base::Bytes());
}

// At the host that awaits the TPM.
VmService::Answer<void> VmService::give_back(VmId id) {
  if (const auto* vm = host_.find(id);
      vm != nullptr && vm->travel.migration == Migration::kAwaited) {
    CO_TRY(host_.stop_awaiting(id));
    const auto settled = co_await transport::rpc::within(kLimit, wait_while_awaited(id));
    if (!settled) {
      co_return base::fail(too_slow("ended"));
    }
    if (const auto* after = host_.find(id); after != nullptr && after->phase == Phase::kServing) {
      co_return base::fail(ErrorCode::kDenied,
                           "the TPM has arrived here meanwhile: it goes on here, and nothing is "
                           "given back");
    }
  }
  if (!host_.folder().has_claim(id)) {
    co_return base::fail(ErrorCode::kDenied,
                         "no ticket of this host waits any more, and nothing is given back: the "
                         "TPM had arrived before its instance ended, or no ticket was made. Start "
                         "the VM here to see which");
  }
  CO_TRY(host_.release_tpm(id));
  const auto ended = co_await transport::rpc::within(kLimit, wait_for_end(id));
  if (!ended) {
    co_return base::fail(too_slow("ended"));
  }
  const auto* after = host_.find(id);
  if (after != nullptr && after->unreleased) {
    co_return base::fail(*after->unreleased);
  }
  co_return base::Result<void>();
}

// At the host that has sent it.
VmService::Answer<void> VmService::take_back(VmId id, std::string releases) {
  CO_TRY(host_.take_tpm_back(id, base::bytes_of(releases)));
  const auto ended = co_await transport::rpc::within(kLimit, wait_while_taking_back(id));
  if (!ended) {
    co_return base::fail(too_slow("said whether it has the TPM back"));
  }
  const auto* after = host_.find(id);
  if (after == nullptr) {
    co_return base::fail(ErrorCode::kNotFound, "the VM was deleted");
  }
  if (after->unreleased) {
    co_return base::fail(*after->unreleased);
  }
  co_return base::Result<void>();
}

}  // namespace tools::vtpmd
