// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "keybroker/evidence/checklist.h"
#include "keybroker/evidence/snp_tcb.h"
#include "vmgs/base/bytes.h"
#include "vmgs/base/layout.h"
#include "vmgs/base/result.h"

namespace keybroker::evidence {

// R and S of an ECDSA P-384 signature, little-endian, of whose 72 bytes 48 are used.
struct SnpSignatureLayout {
  std::array<std::byte, 72> r;
  std::array<std::byte, 72> s;
  std::array<std::byte, 368> zero;
};

static_assert(sizeof(SnpSignatureLayout) == 512);

// SNP firmware ABI, ATTESTATION_REPORT, versions 2 to 5, byte for byte.
struct SnpReportLayout {
  base::U32Le version;
  base::U32Le guest_svn;
  base::U64Le policy;
  std::array<std::byte, 16> family_id;
  std::array<std::byte, 16> image_id;
  base::U32Le vmpl;
  base::U32Le signature_algorithm;
  RawTcb current_tcb;
  base::U64Le platform_info;
  base::U32Le key_info;
  std::array<std::byte, 4> reserved_4c;
  std::array<std::byte, 64> report_data;
  std::array<std::byte, 48> measurement;
  std::array<std::byte, 32> host_data;
  std::array<std::byte, 48> id_key_digest;
  std::array<std::byte, 48> author_key_digest;
  std::array<std::byte, 32> report_id;
  std::array<std::byte, 32> report_id_ma;
  RawTcb reported_tcb;
  std::uint8_t cpuid_family;  // this and the next two from version 3 on
  std::uint8_t cpuid_model;
  std::uint8_t cpuid_stepping;
  std::array<std::byte, 21> reserved_18b;
  std::array<std::byte, 64> chip_id;
  RawTcb committed_tcb;
  std::array<std::uint8_t, 3> current_version;  // build, minor, major
  std::byte reserved_1eb;
  std::array<std::uint8_t, 3> committed_version;
  std::byte reserved_1ef;
  RawTcb launch_tcb;
  base::U64Le launch_mitigations;  // this and the next from version 5 on
  base::U64Le current_mitigations;
  std::array<std::byte, 152> reserved_208;
  SnpSignatureLayout signature;
};

static_assert(sizeof(SnpReportLayout) == 0x4A0);
static_assert(offsetof(SnpReportLayout, policy) == 0x008);
static_assert(offsetof(SnpReportLayout, vmpl) == 0x030);
static_assert(offsetof(SnpReportLayout, current_tcb) == 0x038);
static_assert(offsetof(SnpReportLayout, key_info) == 0x048);
static_assert(offsetof(SnpReportLayout, report_data) == 0x050);
static_assert(offsetof(SnpReportLayout, measurement) == 0x090);
static_assert(offsetof(SnpReportLayout, host_data) == 0x0C0);
static_assert(offsetof(SnpReportLayout, id_key_digest) == 0x0E0);
static_assert(offsetof(SnpReportLayout, report_id) == 0x140);
static_assert(offsetof(SnpReportLayout, reported_tcb) == 0x180);
static_assert(offsetof(SnpReportLayout, cpuid_family) == 0x188);
static_assert(offsetof(SnpReportLayout, chip_id) == 0x1A0);
static_assert(offsetof(SnpReportLayout, committed_tcb) == 0x1E0);
static_assert(offsetof(SnpReportLayout, committed_version) == 0x1EC);
static_assert(offsetof(SnpReportLayout, launch_tcb) == 0x1F0);
static_assert(offsetof(SnpReportLayout, current_mitigations) == 0x200);
static_assert(offsetof(SnpReportLayout, signature) == 0x2A0);

inline constexpr std::size_t kSnpReportBytes = sizeof(SnpReportLayout);

// The bytes in front of the signature are what it signs, as they were received.
inline constexpr std::size_t kSnpSignedBytes = offsetof(SnpReportLayout, signature);

inline constexpr std::uint32_t kEcdsaP384Sha384 = 1;

// Bits of POLICY.
inline constexpr std::uint64_t kSnpPolicySmt = 1ULL << 16;
inline constexpr std::uint64_t kSnpPolicyReservedOne = 1ULL << 17;
inline constexpr std::uint64_t kSnpPolicyMigrationAgent = 1ULL << 18;
inline constexpr std::uint64_t kSnpPolicyDebug = 1ULL << 19;
inline constexpr std::uint64_t kSnpPolicyKnown = (1ULL << 26) - 1;

inline constexpr std::uint32_t kSnpMostVmpl = 3;

// Which key signed a report, by its own statement.
enum class SnpSigningKey : std::uint8_t { kVcek = 0, kVlek = 1, kNone = 7 };

// The combined CPUID family and model, and the stepping.
struct SnpCpu {
  std::uint8_t family = 0;
  std::uint8_t model = 0;
  std::uint8_t stepping = 0;
};

// SnpReport is a report that has the right shape. It is unverified: nothing here has looked at its
// signature, and whether its fields are acceptable is for a policy.
struct SnpReport {
  std::uint32_t version = 0;
  std::uint32_t guest_svn = 0;
  std::uint64_t policy = 0;
  std::array<std::byte, 16> family_id{};
  std::array<std::byte, 16> image_id{};
  std::uint32_t vmpl = 0;
  RawTcb current_tcb{};
  std::uint64_t platform_info = 0;
  bool author_key_enabled = false;
  bool chip_key_masked = false;
  SnpSigningKey signing_key = SnpSigningKey::kVcek;
  std::array<std::byte, 64> report_data{};
  std::array<std::byte, 48> measurement{};
  std::array<std::byte, 32> host_data{};
  std::array<std::byte, 48> id_key_digest{};
  std::array<std::byte, 48> author_key_digest{};
  std::array<std::byte, 32> report_id{};
  std::array<std::byte, 32> report_id_ma{};
  RawTcb reported_tcb{};
  std::optional<SnpCpu> cpu;  // from version 3 on
  std::array<std::byte, 64> chip_id{};
  RawTcb committed_tcb{};
  RawTcb launch_tcb{};
  std::uint64_t launch_mitigations = 0;   // 0 before version 5
  std::uint64_t current_mitigations = 0;  // 0 before version 5

  [[nodiscard]] bool debug() const { return (policy & kSnpPolicyDebug) != 0; }

  // tcb_form() follows the CPU. A version 2 report names none; it is of Milan or Genoa, as Turin
  // never had firmware that old.
  [[nodiscard]] TcbForm tcb_form() const {
    return cpu && cpu->family >= 0x1A ? TcbForm::kTurin : TcbForm::kMilanGenoa;
  }
};

// examine_snp_report() finds the first rule of the format that `bytes` break: 1184 of them, version
// 2 to 5, ECDSA P-384, reserved parts zero (POLICY bit 17 one), a signature of the size of P-384, a
// known signing key, VMPL 0 to 3.
std::optional<Finding> examine_snp_report(base::ByteView bytes);

// decode_snp_report() accepts what breaks no rule. kCorrupt names the field otherwise.
base::Result<SnpReport> decode_snp_report(base::ByteView bytes);

}  // namespace keybroker::evidence
