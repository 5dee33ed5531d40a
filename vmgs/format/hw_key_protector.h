// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "vmgs/base/bytes.h"
#include "vmgs/base/layout.h"
#include "vmgs/base/result.h"

namespace vmgs::format {

// HW_KEY_PROTECTOR (file 11) is how OpenHCL seals the root key to hardware: AES-256-CBC of the 32
// bytes without padding, then HMAC-SHA-256 of every byte in front of it. Ours is SEALED_KEYS; this
// one is read for the stores of other makers and written on an explicit export. Version 2 carries
// an SNP TCB version, version 3 an SVN of either TEE. Sizes tell them apart.
struct HwKeyProtectorV2Layout {
  base::U32Le version;
  base::U32Le length;
  base::U64Le tcb_version;
  std::uint8_t mix_measurement;
  std::array<std::byte, 7> reserved;
  std::array<std::byte, 16> iv;
  std::array<std::byte, 32> ciphertext;
  std::array<std::byte, 32> hmac;
};

static_assert(sizeof(HwKeyProtectorV2Layout) == 104);
static_assert(offsetof(HwKeyProtectorV2Layout, length) == 4);
static_assert(offsetof(HwKeyProtectorV2Layout, tcb_version) == 8);
static_assert(offsetof(HwKeyProtectorV2Layout, mix_measurement) == 16);
static_assert(offsetof(HwKeyProtectorV2Layout, iv) == 24);
static_assert(offsetof(HwKeyProtectorV2Layout, ciphertext) == 40);
static_assert(offsetof(HwKeyProtectorV2Layout, hmac) == 72);

struct HwKeyProtectorV3Layout {
  base::U32Le version;
  base::U32Le length;
  base::U32Le tee_type;  // 0 SEV-SNP, 1 TDX
  std::array<std::byte, 32> svn;
  std::uint8_t mix_measurement;
  std::array<std::byte, 3> reserved;
  std::array<std::byte, 16> iv;
  std::array<std::byte, 32> ciphertext;
  std::array<std::byte, 32> hmac;
};

static_assert(sizeof(HwKeyProtectorV3Layout) == 128);
static_assert(offsetof(HwKeyProtectorV3Layout, length) == 4);
static_assert(offsetof(HwKeyProtectorV3Layout, tee_type) == 8);
static_assert(offsetof(HwKeyProtectorV3Layout, svn) == 12);
static_assert(offsetof(HwKeyProtectorV3Layout, mix_measurement) == 44);
static_assert(offsetof(HwKeyProtectorV3Layout, iv) == 48);
static_assert(offsetof(HwKeyProtectorV3Layout, ciphertext) == 64);
static_assert(offsetof(HwKeyProtectorV3Layout, hmac) == 96);

// HwKeyProtector is one that has passed every rule that needs no key.
struct HwKeyProtector {
  std::uint32_t version = 3;        // 2 or 3
  bool tdx = false;                 // never in version 2
  std::array<std::byte, 32> svn{};  // SNP: TCB version, 24 zero; TDX: TEE_TCB_SVN, CPUSVN
  bool mix_measurement = true;      // the derived key is bound to the measurement
  std::array<std::byte, 16> iv{};
  std::array<std::byte, 32> ciphertext{};
  std::array<std::byte, 32> hmac{};

  friend bool operator==(const HwKeyProtector&, const HwKeyProtector&) = default;
};

// encode() gives the file of 104 or 128 bytes. The MAC is over its bytes but the last 32.
base::Bytes encode(const HwKeyProtector& protector);

// decode_hw_key_protector() accepts exactly what encode() gives. kCorrupt names the field
// otherwise, and version 1, whose derivation nobody carries on, by its name.
base::Result<HwKeyProtector> decode_hw_key_protector(base::ByteView bytes);

}  // namespace vmgs::format
