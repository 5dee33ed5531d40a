// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "vmgs/base/bytes.h"
#include "vmgs/base/layout.h"
#include "vmgs/base/result.h"

namespace keybroker::evidence {

using TdxDigest = std::array<std::byte, 48>;

// Intel TDX module ABI, TDREPORT_STRUCT: what TDG.MR.REPORT gives, byte for byte. Its MAC can be
// checked on the same machine only; remotely it proves nothing.
struct TdReportLayout {
  std::uint8_t tee;      // 0x81
  std::uint8_t subtype;  // 0
  std::uint8_t version;  // 0 or 1
  std::uint8_t reserved_03;
  std::array<std::byte, 12> reserved_04;
  std::array<std::byte, 16> cpu_svn;
  TdxDigest tee_tcb_info_hash;  // SHA-384 of the 239 bytes at 256
  TdxDigest td_info_hash;       // SHA-384 of the 512 bytes at 512
  std::array<std::byte, 64> report_data;
  std::array<std::byte, 32> reserved_c0;
  std::array<std::byte, 32> mac;
  // TEE_TCB_INFO
  base::U64Le valid;
  std::array<std::byte, 16> tee_tcb_svn;
  TdxDigest mr_seam;
  TdxDigest mr_signer_seam;
  base::U64Le seam_attributes;
  std::array<std::byte, 16> tee_tcb_svn2;
  std::array<std::byte, 95> reserved_190;
  std::array<std::byte, 17> reserved_1ef;
  // TDINFO
  base::U64Le attributes;
  base::U64Le xfam;
  TdxDigest mr_td;
  TdxDigest mr_config_id;
  TdxDigest mr_owner;
  TdxDigest mr_owner_config;
  std::array<TdxDigest, 4> rtmr;
  TdxDigest servtd_hash;
  std::array<std::byte, 64> extension;
};

static_assert(sizeof(TdReportLayout) == 1024);
static_assert(offsetof(TdReportLayout, cpu_svn) == 16);
static_assert(offsetof(TdReportLayout, tee_tcb_info_hash) == 32);
static_assert(offsetof(TdReportLayout, td_info_hash) == 80);
static_assert(offsetof(TdReportLayout, report_data) == 128);
static_assert(offsetof(TdReportLayout, mac) == 224);
static_assert(offsetof(TdReportLayout, valid) == 256);
static_assert(offsetof(TdReportLayout, tee_tcb_svn) == 264);
static_assert(offsetof(TdReportLayout, mr_seam) == 280);
static_assert(offsetof(TdReportLayout, seam_attributes) == 376);
static_assert(offsetof(TdReportLayout, tee_tcb_svn2) == 384);
static_assert(offsetof(TdReportLayout, reserved_1ef) == 495);
static_assert(offsetof(TdReportLayout, attributes) == 512);
static_assert(offsetof(TdReportLayout, mr_td) == 528);
static_assert(offsetof(TdReportLayout, mr_config_id) == 576);
static_assert(offsetof(TdReportLayout, mr_owner_config) == 672);
static_assert(offsetof(TdReportLayout, rtmr) == 720);
static_assert(offsetof(TdReportLayout, servtd_hash) == 912);
static_assert(offsetof(TdReportLayout, extension) == 960);

inline constexpr std::size_t kTdReportBytes = sizeof(TdReportLayout);
inline constexpr std::size_t kTeeTcbInfoOffset = 256;
inline constexpr std::size_t kTeeTcbInfoBytes = 239;
inline constexpr std::size_t kTdInfoOffset = 512;
inline constexpr std::size_t kTdInfoBytes = 512;

// Bit of the TD ATTRIBUTES: the host may read and write the TD's memory.
inline constexpr std::uint64_t kTdAttributeDebug = 1ULL << 0;

// TdReport is a TDREPORT whose inner hashes are right. Whether its MAC is, only its machine knows.
struct TdReport {
  std::array<std::byte, 16> cpu_svn{};
  std::array<std::byte, 64> report_data{};
  std::array<std::byte, 16> tee_tcb_svn{};
  TdxDigest mr_seam{};
  std::uint64_t attributes = 0;
  std::uint64_t xfam = 0;
  TdxDigest mr_td{};
  TdxDigest mr_config_id{};
  TdxDigest mr_owner{};
  TdxDigest mr_owner_config{};
  std::array<TdxDigest, 4> rtmr{};

  [[nodiscard]] bool debug() const { return (attributes & kTdAttributeDebug) != 0; }
};

// decode_td_report() accepts 1024 bytes of type 0x81, version 0 or 1, with zero where the type
// reserves bytes, and with the two hashes that bind its parts. kCorrupt names the field otherwise.
base::Result<TdReport> decode_td_report(base::ByteView bytes);

// fill_inner_hashes() fills the two inner hashes of a report that is being made.
void fill_inner_hashes(TdReportLayout& report);

}  // namespace keybroker::evidence
