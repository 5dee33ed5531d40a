// SPDX-License-Identifier: Apache-2.0
// The two calls about lockouts.
#include <string>
#include <utility>

#include "tools/vtpmd/vm_service.h"
#include "vmgs/base/log.h"

namespace tools::vtpmd {

namespace {

namespace api = strongroom::host::v1;
using base::ErrorCode;

base::Result<void> expect_serving(const vtpm::host::Vm& vm) {
  if (vm.phase != vtpm::host::Phase::kServing) {
    return base::fail(ErrorCode::kUnavailable,
                      "'" + vm.record.name + "' has no TPM that is on; start its guest first");
  }
  return {};
}

}  // namespace

VmService::Answer<api::GetLockoutResponse> VmService::lockout(api::GetLockoutRequest request,
                                                              Context) {
  auto found = host_.find(request.vm());
  CO_TRY_ASSIGN(vm, std::move(found));
  CO_TRY(expect_serving(*vm));
  auto asked = co_await lockouts_.ask(vm->id(), std::nullopt);
  CO_TRY_ASSIGN(lockout, std::move(asked));
  api::GetLockoutResponse response;
  *response.mutable_lockout() = std::move(lockout);
  co_return response;
}

VmService::Answer<api::ResetLockoutResponse> VmService::reset_lockout(
    api::ResetLockoutRequest request, Context context) {
  auto found = host_.find(request.vm());
  CO_TRY_ASSIGN(vm, std::move(found));
  CO_TRY(expect_serving(*vm));
  if (vm->document.tee_family != keybroker::protocol::TeeFamily::kNone) {
    co_return base::fail(ErrorCode::kDenied,
                         "'" + vm->record.name +
                             "' is a confidential VM, and this host is not to know its tenant's "
                             "authorization: in the guest, tpm2_dictionarylockout --clear-lockout");
  }
  const auto name = vm->record.name;
  base::log(base::LogLevel::kInfo,
            "ResetLockout of '" + name + "' asked for by " + describe(context.peer));
  auto asked = co_await lockouts_.ask(vm->id(), std::move(*request.mutable_authorization()));
  CO_TRY_ASSIGN(lockout, std::move(asked));
  api::ResetLockoutResponse response;
  *response.mutable_lockout() = std::move(lockout);
  co_return response;
}

}  // namespace tools::vtpmd
