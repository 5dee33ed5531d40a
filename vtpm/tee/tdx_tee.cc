// SPDX-License-Identifier: Apache-2.0
#include "vtpm/tee/tdx_tee.h"

#include <array>
#include <cerrno>
#include <cstdio>
#include <string>
#include <system_error>

#include "keybroker/evidence/td_quote.h"
#include "keybroker/evidence/td_report.h"
#include "vmgs/crypto/random.h"
#include "vtpm/tee/guarded_buffer.h"
#include "vtpm/tee/key_request.h"
#include "vtpm/tee/retry.h"
#include "vtpm/tee/tdx_abi.h"

namespace vtpm::tee {

namespace {

namespace evidence = keybroker::evidence;

// TDX module completion status, class TDX_OPERAND_INVALID: the upper half says so, the lower which
// operand.
constexpr std::uint64_t kOperandInvalid = 0xC0000100;

auto fail_io(const std::string& why) { return base::fail(base::ErrorCode::kIo, why); }

std::string hex_code(std::uint64_t code) {
  std::array<char, 24> text{};
  std::snprintf(text.data(), text.size(), "0x%016llx", static_cast<unsigned long long>(code));
  return text.data();
}

// call() makes one ioctl, again if it was interrupted or the module was busy.
int call(const KernelFile& device, unsigned long number, GuardedBuffer& argument) {
  int answer = 0;
  retry(device.kernel(), [&] {
    answer = device.kernel().ioctl(device.descriptor(), number, argument.room().data());
    return answer == -EINTR || answer == -EBUSY ? Again::kYes : Again::kNo;
  });
  return answer < 0 ? -answer : 0;
}

base::Result<void> check_intact(const GuardedBuffer& argument) {
  if (!argument.intact()) {
    return fail_io(
        "the kernel wrote past the buffer of a TDX call: it has another idea of its "
        "size than this program; do not go on with this kernel");
  }
  return {};
}

std::string reason(int error) { return std::generic_category().message(error); }

}  // namespace

base::Result<OwnReport> TdxTee::own_report() {
  if (!own_report_) {
    TRY_ASSIGN(own, ask_own_report());
    own_report_ = own;
  }
  return *own_report_;
}

base::Result<base::Bytes> TdxTee::hardware_report(const ReportData& report_data) {
  TdxReportRequestLayout request{};
  request.report_data = report_data;
  GuardedBuffer argument(sizeof(request));
  argument.store(request);
  const int error = call(device_, kTdxGetReport0, argument);
  TRY(check_intact(argument));
  if (error == EBUSY || error == EINTR) {
    return base::fail(base::ErrorCode::kUnavailable, "the TDX module stays busy; try again");
  }
  if (error != 0) {
    return fail_io("cannot get a TDREPORT from the TDX module: " + reason(error));
  }
  const auto answer = argument.as<TdxReportRequestLayout>();
  TRY_ASSIGN(report, evidence::decode_td_report(base::view(answer.report)));
  if (report.report_data != request.report_data) {
    return fail_io("the TDREPORT carries other report data than was asked for");
  }
  return base::copy_of(base::view(answer.report));
}

base::Result<OwnReport> TdxTee::ask_own_report() {
  ReportData nonce{};
  TRY(vmgs::crypto::random_bytes(nonce));
  TRY_ASSIGN(raw, hardware_report(nonce));
  TRY_ASSIGN(report, evidence::decode_td_report(raw));
  return own_report_of(report);
}

base::Result<Evidence> TdxTee::report(const ReportData& report_data) {
  TRY_ASSIGN(
      answer,
      tsm_report(device_.kernel(),
                 {.report_data = report_data, .provider = "tdx_guest", .privlevel = std::nullopt},
                 tsm_folder_));
  TRY_ASSIGN(quote, evidence::decode_td_quote(answer.report));
  if (quote.body.report_data != report_data) {
    return fail_io("the TD quote carries other report data than was asked for");
  }
  return Evidence{.report = std::move(answer.report), .certificates = {}};
}

base::Result<base::Secret<32>> TdxTee::derive_key(const KeyBinding& binding) {
  TRY_ASSIGN(request, tdx_key_request(binding));
  GuardedBuffer argument(sizeof(TdxKeyCallLayout));
  argument.store(TdxKeyCallLayout{.request = request, .key = {}, .error = {}});
  const int error = call(device_, kTdxKeyGet, argument);
  TRY(check_intact(argument));
  const auto status = base::load<base::U64Le>(argument.room().last<sizeof(base::U64Le)>()).value();
  if (error == ENOTTY) {
    return base::fail(base::ErrorCode::kUnavailable,
                      "TDX seal keys are unsupported by this kernel: only paravisor kernels hand "
                      "TDG.MR.KEY.GET through. Choose another protection than 'hardware'");
  }
  if (error == EBUSY || error == EINTR) {
    return base::fail(base::ErrorCode::kUnavailable, "the TDX module stays busy; try again");
  }
  if (status >> 32 == kOperandInvalid) {
    return base::fail(base::ErrorCode::kDenied,
                      "the TDX module derives no key for this SVN (TDX_OPERAND_INVALID " +
                          hex_code(status) + "): it is above that of the platform");
  }
  if (error != 0 || status != 0) {
    return fail_io("the TDX module gives no seal key: " +
                   (status != 0 ? "status " + hex_code(status) : reason(error)));
  }
  // Straight out of the buffer that is wiped: the key must not be left on this stack.
  auto key =
      base::Secret<32>::copy_of(argument.room().subspan<offsetof(TdxKeyCallLayout, key), 32>());
  if (key.is_all_zero()) {
    return fail_io("the TDX module gave an all-zero key, which protects nothing");
  }
  return key;
}

}  // namespace vtpm::tee
