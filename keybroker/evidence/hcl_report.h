// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

#include "keybroker/crypto/signature.h"
#include "vmgs/base/bytes.h"
#include "vmgs/base/layout.h"
#include "vmgs/base/result.h"

namespace keybroker::evidence {

// The container in which a paravisor puts a hardware report and the claims that it binds. Its
// header and sizes are covered by nothing: they say where bytes are, and no more.
struct HclHeaderLayout {
  std::array<char, 4> signature;  // "HCLA"
  base::U32Le version;            // 2; 1 in old captures
  base::U32Le report_bytes;       // all up to the end of the claims
  base::U32Le request_type;       // 2: AK certificate
  base::U32Le status;
  std::array<std::byte, 12> reserved;
};

static_assert(sizeof(HclHeaderLayout) == 32);

inline constexpr std::size_t kHclSlotBytes = 1184;

struct HclRequestLayout {
  base::U32Le bytes;    // of this structure and the claims
  base::U32Le version;  // 1; 2 has a word of capabilities in front of the claims
  base::U32Le report_type;
  base::U32Le hash_type;
  base::U32Le claims_bytes;
};

static_assert(sizeof(HclRequestLayout) == 20);

inline constexpr std::size_t kHclClaimsOffset =
    sizeof(HclHeaderLayout) + kHclSlotBytes + sizeof(HclRequestLayout);
static_assert(kHclClaimsOffset == 1236);

// What lies in the slot of the hardware report.
enum class HclReportType : std::uint8_t { kVbs = 1, kSnp = 2, kTrustedVm = 3, kTdx = 4, kCca = 5 };

// HclReport is a container that has the right shape.
struct HclReport {
  std::uint32_t version = 2;
  std::uint32_t request_type = 2;
  std::uint32_t request_version = 1;
  HclReportType type = HclReportType::kTrustedVm;
  crypto::Hash hash = crypto::Hash::kSha256;
  base::Bytes hardware_report{};  // SNP 1184 bytes, TDREPORT 1024, for a trusted VM none
  std::string claims{};           // exactly the bytes that are hashed

  friend bool operator==(const HclReport&, const HclReport&) = default;
};

inline constexpr std::size_t kMaxHclReportBytes = 128 * 1024;

// decode_hcl_report() reads what vTPMs of ours and of others write: header versions 1 and 2, a
// report size of the whole or of the hardware report, zero behind the claims. kCorrupt for sizes
// that contradict each other or the buffer, an unknown type or hash, and anything but zero behind
// the hardware report or the claims.
base::Result<HclReport> decode_hcl_report(base::ByteView bytes);

// has_own_form() tells whether decoded bytes are what encode() writes, but for zero behind them.
bool has_own_form(base::ByteView bytes);

// encode() writes the one form of ours, without padding: version 2, request type 2, request version
// 1, SHA-256, the whole size. kInvalidArgument for a report that has another form, or whose
// hardware report has not the size of its type.
base::Result<base::Bytes> encode(const HclReport& report);

}  // namespace keybroker::evidence
