// SPDX-License-Identifier: Apache-2.0
#include "vtpm/tee/snp_tee.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <string>
#include <system_error>

#include "vmgs/crypto/random.h"
#include "vtpm/tee/key_request.h"
#include "vtpm/tee/retry.h"
#include "vtpm/tee/snp_abi.h"

namespace vtpm::tee {

namespace {

namespace evidence = keybroker::evidence;

// Linux takes whole pages. Two hold the three certificates that hosts give.
constexpr std::size_t kPageBytes = 4096;
constexpr std::size_t kFirstCertificateBytes = 2 * kPageBytes;
constexpr std::size_t kMostCertificateBytes = 256 * kPageBytes;

// What the driver leaves where no message reached the firmware.
constexpr std::uint32_t kNoFirmwareCall = 0xFF;

auto fail_io(const std::string& why) { return base::fail(base::ErrorCode::kIo, why); }

std::string hex_code(std::uint32_t code) {
  std::array<char, 16> text{};
  std::snprintf(text.data(), text.size(), "0x%x", code);
  return text.data();
}

// Names of the SEV firmware ABI, for the codes that a guest's request can meet.
std::string firmware_error(std::uint32_t code) {
  struct Named {
    std::uint32_t code;
    const char* name;
  };

  constexpr std::array kNames{Named{0x01, "INVALID_PLATFORM_STATE"},
                              Named{0x02, "INVALID_GUEST_STATE"},
                              Named{0x04, "INVALID_LENGTH"},
                              Named{0x07, "POLICY_FAILURE"},
                              Named{0x15, "UNSUPPORTED"},
                              Named{kSnpInvalidParameter, "INVALID_PARAM"},
                              Named{0x17, "RESOURCE_LIMIT"},
                              Named{kSnpInvalidKeySelection, "INVALID_KEY"}};
  const auto found = std::ranges::find(kNames, code, &Named::code);
  return hex_code(code) + (found == kNames.end() ? "" : std::string(" ") + found->name);
}

base::Result<void> check_intact(const GuardedBuffer& request, const GuardedBuffer& response) {
  if (!request.intact() || !response.intact()) {
    return fail_io(
        "the kernel wrote past the buffer of an SNP guest request: it has another idea "
        "of its size than this program; do not go on with this kernel");
  }
  return {};
}

// The report inside a response that the firmware calls a success.
base::Result<evidence::SnpReport> report_of(const SnpReportResponseLayout& response,
                                            const ReportData& asked) {
  if (response.status.value() != 0) {
    return fail_io("the SNP firmware refuses a report: status " +
                   firmware_error(response.status.value()));
  }
  if (response.report_bytes.value() != evidence::kSnpReportBytes) {
    return fail_io("the SNP firmware gave a report of " +
                   std::to_string(response.report_bytes.value()) + " bytes, expected 1184");
  }
  TRY_ASSIGN(report, evidence::decode_snp_report(base::view(response.report)));
  if (report.report_data != asked) {
    return fail_io("the SNP report carries other report data than was asked for");
  }
  return report;
}

GuardedBuffer report_request(const ReportData& report_data) {
  SnpReportRequestLayout request{};
  request.report_data = report_data;
  GuardedBuffer buffer(sizeof(request));
  buffer.store(request);
  return buffer;
}

}  // namespace

SnpTee::Refusal SnpTee::call_once(unsigned long number, GuardedBuffer& request,
                                  GuardedBuffer& response) {
  SnpGuestRequestLayout call{};
  call.message_version = kSnpMessageVersion;
  call.request_address = request.address();
  call.response_address = response.address();
  GuardedBuffer argument(sizeof(call));
  argument.store(call);
  const int answer = device_.kernel().ioctl(device_.descriptor(), number, argument.room().data());
  const auto exit_info = argument.as<SnpGuestRequestLayout>().exit_info_2.value();
  return {.error = answer < 0 ? -answer : 0,
          .firmware = static_cast<std::uint32_t>(exit_info),
          .vmm = static_cast<std::uint32_t>(exit_info >> 32)};
}

SnpTee::Refusal SnpTee::call(unsigned long number, GuardedBuffer& request,
                             GuardedBuffer& response) {
  Refusal refusal;
  retry(device_.kernel(), [&] {
    refusal = call_once(number, request, response);
    // Older drivers hand the host's "busy" through, as either error.
    const bool busy =
        (refusal.error == EIO || refusal.error == EAGAIN) && refusal.vmm == kSnpVmmBusy;
    return busy || refusal.error == EINTR ? Again::kYes : Again::kNo;
  });
  return refusal;
}

base::Error SnpTee::error_of(const Refusal& refusal, const char* what) {
  const std::string cannot = std::string("cannot get ") + what + " from the SNP firmware: ";
  switch (refusal.error) {
    case ENOTTY:
      return {base::ErrorCode::kUnavailable,
              cannot +
                  "the kernel has given up its message key to it, as it does after a failed "
                  "request; start the VM again"};
    case ETIMEDOUT:
      return {base::ErrorCode::kUnavailable,
              cannot +
                  "the host has throttled the request for a minute; start the VM again, and "
                  "ask its host why"};
    case EINTR:
    case EAGAIN:
      return {base::ErrorCode::kUnavailable, cannot + "the device stays busy; try again"};
    default:
      break;
  }
  if (refusal.vmm == kSnpVmmBusy) {
    return {base::ErrorCode::kUnavailable,
            cannot + "the host throttles it and did not let it through; try again"};
  }
  if (refusal.vmm != 0) {
    return {base::ErrorCode::kIo,
            cannot + "the host answered with VMM error " + hex_code(refusal.vmm)};
  }
  if (refusal.firmware != 0 && refusal.firmware != kNoFirmwareCall) {
    return {base::ErrorCode::kIo, cannot + "firmware error " + firmware_error(refusal.firmware)};
  }
  return {base::ErrorCode::kIo, cannot + std::generic_category().message(refusal.error)};
}

base::Result<OwnReport> SnpTee::own_report() {
  if (!own_report_) {
    TRY_ASSIGN(own, ask_own_report());
    own_report_ = own;
  }
  return *own_report_;
}

base::Result<base::Bytes> SnpTee::hardware_report(const ReportData& report_data) {
  auto request = report_request(report_data);
  GuardedBuffer response(sizeof(SnpReportResponseLayout));
  const auto refusal = call(kSnpGetReport, request, response);
  TRY(check_intact(request, response));
  if (refusal.error != 0) {
    return base::fail(error_of(refusal, "a report"));
  }
  const auto raw = response.as<SnpReportResponseLayout>();
  TRY(report_of(raw, report_data));
  return base::copy_of(base::view(raw.report));
}

base::Result<OwnReport> SnpTee::ask_own_report() {
  ReportData nonce{};
  TRY(vmgs::crypto::random_bytes(nonce));
  TRY_ASSIGN(raw, hardware_report(nonce));
  TRY_ASSIGN(report, evidence::decode_snp_report(raw));
  return own_report_of(report);
}

base::Result<Evidence> SnpTee::report(const ReportData& report_data) {
  std::size_t room = kFirstCertificateBytes;
  for (;;) {
    SnpExtReportRequestLayout asked{};
    asked.request.report_data = report_data;
    GuardedBuffer certificates(room);
    asked.certificates_address = certificates.address();
    asked.certificates_bytes = static_cast<std::uint32_t>(room);
    GuardedBuffer request(sizeof(asked));
    request.store(asked);
    GuardedBuffer response(sizeof(SnpReportResponseLayout));

    const auto refusal = call(kSnpGetExtReport, request, response);

    TRY(check_intact(request, response));
    TRY(check_intact(certificates, certificates));
    if (refusal.error == 0) {
      const auto raw = response.as<SnpReportResponseLayout>();
      TRY(report_of(raw, report_data));
      Evidence evidence{.report = base::copy_of(base::view(raw.report)), .certificates = {}};
      if (!base::is_all_zero(certificates.room())) {
        evidence.certificates = base::copy_of(certificates.room());
      }
      return evidence;
    }
    const std::size_t needed = request.as<SnpExtReportRequestLayout>().certificates_bytes.value();
    if (refusal.vmm != kSnpVmmInvalidLength) {
      return base::fail(error_of(refusal, "a report"));
    }
    // Each round must ask for more, so the bound ends this.
    if (needed <= room || needed > kMostCertificateBytes || needed % kPageBytes != 0) {
      return fail_io("the host wants " + std::to_string(needed) +
                     " bytes of room for its certificates, where it was given " +
                     std::to_string(room));
    }
    room = needed;
  }
}

base::Result<base::Secret<32>> SnpTee::derive_key(const KeyBinding& binding) {
  GuardedBuffer request(sizeof(SnpKeyRequestLayout));
  request.store(snp_key_request(binding));
  GuardedBuffer response(sizeof(SnpKeyResponseLayout));
  const auto refusal = call(kSnpGetDerivedKey, request, response);
  TRY(check_intact(request, response));
  if (refusal.error != 0) {
    return base::fail(error_of(refusal, "a derived key"));
  }
  // Not by as(): the key must not be left on this stack.
  const auto status = base::load<base::U32Le>(response.room().first<4>()).value();
  if (status == kSnpInvalidParameter) {
    return base::fail(base::ErrorCode::kDenied,
                      "the SNP firmware derives no key for this TCB (INVALID_PARAM): it is above "
                      "the committed TCB of the machine");
  }
  if (status == kSnpInvalidKeySelection) {
    return base::fail(base::ErrorCode::kUnavailable,
                      "the SNP firmware has no key to derive from (INVALID_KEY): the host masks "
                      "the chip's key");
  }
  if (status != 0) {
    return fail_io("the SNP firmware refuses a derived key: status " + firmware_error(status));
  }
  auto key =
      base::Secret<32>::copy_of(response.room().subspan<offsetof(SnpKeyResponseLayout, key), 32>());
  if (key.is_all_zero()) {
    return fail_io("the SNP firmware gave an all-zero key, which protects nothing");
  }
  return key;
}

}  // namespace vtpm::tee
