// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/ioctl.h>

#include <array>
#include <cstddef>
#include <cstdint>

#include "keybroker/evidence/td_report.h"
#include "vmgs/base/layout.h"

// What passes between this process, /dev/tdx_guest and the TDX module, byte for byte: Linux
// uapi/linux/tdx-guest.h, the seal-key call that only paravisor kernels have, and the request of
// TDG.MR.KEY.GET that it carries.
namespace vtpm::tee {

struct TdxReportRequestLayout {
  std::array<std::byte, 64> report_data;
  keybroker::evidence::TdReportLayout report;
};

static_assert(sizeof(TdxReportRequestLayout) == 1088);
static_assert(offsetof(TdxReportRequestLayout, report) == 64);

inline constexpr unsigned long kTdxGetReport0 = 0xC4405401;
static_assert(kTdxGetReport0 == _IOWR('T', 1, TdxReportRequestLayout));

// Bits of KEYPOLICY: which measurement registers are mixed into the key.
inline constexpr std::uint64_t kTdxMixMrTd = 1ULL << 0;
inline constexpr std::uint64_t kTdxMixMrConfigId = 1ULL << 3;
inline constexpr std::uint64_t kTdxMixMrOwnerConfig = 1ULL << 4;

inline constexpr std::uint16_t kTdxSealKeyName = 0;
inline constexpr std::uint8_t kTdxKeyOf256Bits = 1;

// TDKEYREQUEST.
struct TdxKeyRequestLayout {
  base::U16Le key_name;  // 0: seal
  std::uint8_t software_key_name;
  std::uint8_t key_size;  // 0: 128 bits, 1: 256 bits
  std::array<std::byte, 4> reserved_04;
  base::U64Le key_policy;
  base::U64Le attributes_mask;
  base::U64Le xfam_mask;
  std::array<std::byte, 16> cpu_svn;
  std::array<std::byte, 16> tee_tcb_svn;
  base::U16Le isv_svn;
  base::U16Le mr_config_svn;
  base::U16Le mr_owner_config_svn;
  std::array<std::byte, 32> salt;
  std::array<std::byte, 26> reserved_66;
};

static_assert(sizeof(TdxKeyRequestLayout) == 128);
static_assert(offsetof(TdxKeyRequestLayout, key_policy) == 8);
static_assert(offsetof(TdxKeyRequestLayout, attributes_mask) == 16);
static_assert(offsetof(TdxKeyRequestLayout, xfam_mask) == 24);
static_assert(offsetof(TdxKeyRequestLayout, cpu_svn) == 32);
static_assert(offsetof(TdxKeyRequestLayout, tee_tcb_svn) == 48);
static_assert(offsetof(TdxKeyRequestLayout, isv_svn) == 64);
static_assert(offsetof(TdxKeyRequestLayout, salt) == 70);
static_assert(offsetof(TdxKeyRequestLayout, reserved_66) == 102);

struct TdxKeyCallLayout {
  TdxKeyRequestLayout request;
  std::array<std::byte, 32> key;
  base::U64Le error;  // the completion status of the module
};

static_assert(sizeof(TdxKeyCallLayout) == 168);
static_assert(offsetof(TdxKeyCallLayout, key) == 128);
static_assert(offsetof(TdxKeyCallLayout, error) == 160);

inline constexpr unsigned long kTdxKeyGet = 0xC0A85405;
static_assert(kTdxKeyGet == _IOWR('T', 5, TdxKeyCallLayout));

}  // namespace vtpm::tee
