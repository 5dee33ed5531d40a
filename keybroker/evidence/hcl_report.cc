// SPDX-License-Identifier: Apache-2.0
#include "keybroker/evidence/hcl_report.h"

#include <algorithm>
#include <optional>
#include <string_view>

#include "keybroker/evidence/snp_report.h"
#include "keybroker/evidence/td_report.h"
#include "vmgs/base/cursor.h"

namespace keybroker::evidence {

namespace {

constexpr std::array<char, 4> kSignature{'H', 'C', 'L', 'A'};
constexpr std::size_t kCapabilityBytes = 4;

auto corrupt(const std::string& why) {
  return base::fail(base::ErrorCode::kCorrupt, "HCL report: " + why);
}

std::optional<HclReportType> type_of(std::uint32_t number) {
  if (number < 1 || number > 5) {
    return std::nullopt;
  }
  return static_cast<HclReportType>(number);
}

std::optional<crypto::Hash> hash_of(std::uint32_t number) {
  switch (number) {
    case 1:
      return crypto::Hash::kSha256;
    case 2:
      return crypto::Hash::kSha384;
    case 3:
      return crypto::Hash::kSha512;
    default:
      return std::nullopt;
  }
}

// used_bytes() is how much of the slot a hardware report takes; all of it where that is not known.
std::size_t used_bytes(HclReportType type) {
  switch (type) {
    case HclReportType::kTdx:
      return kTdReportBytes;
    case HclReportType::kTrustedVm:
      return 0;
    default:
      return kHclSlotBytes;
  }
}

base::Result<void> check_header(const HclHeaderLayout& header, std::size_t total) {
  if (header.signature != kSignature) {
    return corrupt("it does not begin with HCLA");
  }
  if (header.version.value() != 1 && header.version.value() != 2) {
    return corrupt("header version " + std::to_string(header.version.value()) +
                   " is not known here");
  }
  if (header.request_type.value() < 1 || header.request_type.value() > 3) {
    return corrupt("request type " + std::to_string(header.request_type.value()) +
                   " is not known here");
  }
  // The public description says the size of the hardware report, every capture that of the whole.
  const auto size = header.report_bytes.value();
  if (size != total && size != kSnpReportBytes && size != kTdReportBytes) {
    return corrupt("it claims " + std::to_string(size) + " bytes where " + std::to_string(total) +
                   " are");
  }
  return {};
}

// The sizes of the request must agree with each other before one of them is used.
base::Result<void> check_request(const HclRequestLayout& request) {
  const auto version = request.version.value();
  if (version != 1 && version != 2) {
    return corrupt("request version " + std::to_string(version) + " is not known here");
  }
  const std::uint64_t fixed = sizeof(HclRequestLayout) + (version == 2 ? kCapabilityBytes : 0);
  if (request.bytes.value() != fixed + request.claims_bytes.value()) {
    return corrupt("its data has " + std::to_string(request.bytes.value()) +
                   " bytes and its claims " + std::to_string(request.claims_bytes.value()));
  }
  if (!type_of(request.report_type.value())) {
    return corrupt("report type " + std::to_string(request.report_type.value()) +
                   " is not known here");
  }
  if (!hash_of(request.hash_type.value())) {
    return corrupt("hash type " + std::to_string(request.hash_type.value()) + " is not known here");
  }
  return {};
}

base::Result<HclReport> read(base::ByteView bytes) {
  base::Reader in(bytes);
  TRY_ASSIGN(header, in.layout<HclHeaderLayout>());
  TRY_ASSIGN(slot, in.bytes(kHclSlotBytes));
  TRY_ASSIGN(request, in.layout<HclRequestLayout>());
  TRY(check_request(request));
  if (request.version.value() == 2) {
    TRY(in.bytes(kCapabilityBytes));
  }
  TRY_ASSIGN(claims, in.bytes(request.claims_bytes.value()));
  TRY(check_header(header, in.offset()));
  if (claims.empty()) {
    return corrupt("it has no claims");
  }
  if (!base::is_all_zero(in.rest())) {
    return corrupt("something other than zero follows its claims");
  }
  HclReport report;
  report.version = header.version.value();
  report.request_type = header.request_type.value();
  report.request_version = request.version.value();
  report.type = *type_of(request.report_type.value());
  report.hash = *hash_of(request.hash_type.value());
  const std::size_t used = used_bytes(report.type);
  if (!base::is_all_zero(slot.subspan(used))) {
    return corrupt("something other than zero follows its hardware report");
  }
  report.hardware_report = base::copy_of(slot.first(used));
  report.claims.assign(reinterpret_cast<const char*>(claims.data()), claims.size());
  return report;
}

}  // namespace

base::Result<HclReport> decode_hcl_report(base::ByteView bytes) {
  if (bytes.size() > kMaxHclReportBytes) {
    return corrupt("has " + std::to_string(bytes.size()) + " bytes, at most 131072 are allowed");
  }
  auto report = read(bytes);
  if (!report && !report.error().message.starts_with("HCL report")) {
    return corrupt(report.error().message);
  }
  return report;
}

bool has_own_form(base::ByteView bytes) {
  const auto report = decode_hcl_report(bytes);
  if (!report) {
    return false;
  }
  const auto own = encode(*report);
  return own && std::ranges::equal(*own, bytes.first(own->size()));
}

base::Result<base::Bytes> encode(const HclReport& report) {
  if (report.version != 2 || report.request_type != 2 || report.request_version != 1 ||
      report.hash != crypto::Hash::kSha256 ||
      report.hardware_report.size() != used_bytes(report.type)) {
    return base::fail(base::ErrorCode::kInvalidArgument,
                      "HCL report: this is not the form that we write");
  }
  HclHeaderLayout header{};
  header.signature = kSignature;
  header.version = report.version;
  header.report_bytes = static_cast<std::uint32_t>(kHclClaimsOffset + report.claims.size());
  header.request_type = report.request_type;
  HclRequestLayout request{};
  request.bytes = static_cast<std::uint32_t>(sizeof(HclRequestLayout) + report.claims.size());
  request.version = report.request_version;
  request.report_type = static_cast<std::uint32_t>(report.type);
  request.hash_type = 1U;
  request.claims_bytes = static_cast<std::uint32_t>(report.claims.size());
  base::Writer out;
  out.layout(header);
  out.bytes(report.hardware_report);
  out.bytes(base::Bytes(kHclSlotBytes - report.hardware_report.size()));
  out.layout(request);
  out.bytes(base::bytes_of(report.claims));
  return std::move(out).take();
}

}  // namespace keybroker::evidence
