// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "vmgs/base/layout.h"
#include "vmgs/uefi/variable.h"

// The bytes of a variable flash, for whoever reads or writes one (UEFI PI 1.7, volume 3, 3.2.1;
// MdeModulePkg/Include/Guid/VariableFormat.h of EDK2).
namespace vmgs::uefi {

inline constexpr std::uint32_t kVolumeSignature = 0x4856465f;  // _FVH
inline constexpr std::uint8_t kFormatted = 0x5a;
inline constexpr std::uint8_t kHealthy = 0xfe;
inline constexpr std::uint16_t kVariableStart = 0x55aa;
inline constexpr std::size_t kAlignment = 4;
inline constexpr std::uint8_t kErased = 0xff;

// States of a variable: bits of an erased byte are cleared one by one, and never set again.
inline constexpr std::uint8_t kHeaderIsValid = 0x80;
inline constexpr std::uint8_t kAdded = 0x40;
inline constexpr std::uint8_t kIsDeleted = 0x02;
inline constexpr std::uint8_t kInDeletedTransition = 0x01;

struct VolumeHeaderLayout {
  std::array<std::byte, 16> zero_vector;
  std::array<std::byte, 16> file_system;
  base::U64Le volume_bytes;
  base::U32Le signature;
  base::U32Le attributes;
  base::U16Le header_bytes;
  base::U16Le checksum;
  base::U16Le extended_header;
  std::array<std::byte, 1> reserved;
  std::array<std::byte, 1> revision;
};

static_assert(sizeof(VolumeHeaderLayout) == 56);
static_assert(offsetof(VolumeHeaderLayout, signature) == 40);
static_assert(offsetof(VolumeHeaderLayout, header_bytes) == 48);

struct StoreHeaderLayout {
  Guid signature;
  base::U32Le store_bytes;
  std::array<std::byte, 1> format;
  std::array<std::byte, 1> state;
  std::array<std::byte, 6> reserved;
};

static_assert(sizeof(StoreHeaderLayout) == 28);

struct TimeLayout {
  base::U16Le year;
  std::array<std::byte, 5> month_to_second;
  std::array<std::byte, 9> rest;
};

static_assert(sizeof(TimeLayout) == 16);

// Both kinds begin so.
struct VariableStartLayout {
  base::U16Le start;
  std::array<std::byte, 1> state;
  std::array<std::byte, 1> reserved;
  base::U32Le attributes;
};

static_assert(sizeof(VariableStartLayout) == 8);

struct AuthenticationLayout {
  base::U64Le monotonic_count;
  TimeLayout timestamp;
  base::U32Le public_key_index;
};

static_assert(sizeof(AuthenticationLayout) == 28);

struct VariableEndLayout {
  base::U32Le name_bytes;
  base::U32Le data_bytes;
  Guid vendor;
};

static_assert(sizeof(VariableEndLayout) == 24);

// States of fault-tolerant writes, cleared one by one too (MdeModulePkg/Include/Guid/
// SystemNvDataGuid.h).
inline constexpr std::uint8_t kWorkingBlockValid = 0x01;
inline constexpr std::uint8_t kWorkingBlockInvalid = 0x02;
inline constexpr std::uint8_t kHeaderAllocated = 0x01;
inline constexpr std::uint8_t kWritesAllocated = 0x02;
inline constexpr std::uint8_t kWriteComplete = 0x04;
inline constexpr std::uint8_t kSpareComplete = 0x02;
inline constexpr std::uint8_t kDestinationComplete = 0x04;

// A working block begins so; a queue of writes follows.
struct WorkingBlockLayout {
  Guid signature;
  base::U32Le checksum;  // CRC-32 of this header with this field and the state as erased
  std::array<std::byte, 4> state;
  base::U64Le queue_bytes;
};

static_assert(sizeof(WorkingBlockLayout) == 32);
static_assert(offsetof(WorkingBlockLayout, queue_bytes) == 24);

// A write begins so; its records follow, each with private bytes of the caller behind it.
struct WriteHeaderLayout {
  std::array<std::byte, 4> state;
  Guid caller;
  std::array<std::byte, 4> padding;
  base::U64Le writes;
  base::U64Le private_bytes;
};

static_assert(sizeof(WriteHeaderLayout) == 40);
static_assert(offsetof(WriteHeaderLayout, writes) == 24);

struct WriteRecordLayout {
  std::array<std::byte, 8> state;
  base::U64Le block;
  base::U64Le offset;
  base::U64Le bytes;
  base::U64Le spare_offset;
};

static_assert(sizeof(WriteRecordLayout) == 40);

}  // namespace vmgs::uefi
