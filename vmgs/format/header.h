// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "vmgs/base/bytes.h"
#include "vmgs/base/layout.h"
#include "vmgs/base/result.h"

namespace vmgs::format {

// A metadata key wrapped under a datastore key with AES-256-GCM, as it lies in the header.
struct KeySlotLayout {
  std::array<std::byte, 12> nonce;
  base::U32Le reserved;
  std::array<std::byte, 16> tag;
  std::array<std::byte, 32> wrapped_key;
};

static_assert(sizeof(KeySlotLayout) == 64);
static_assert(offsetof(KeySlotLayout, tag) == 16);
static_assert(offsetof(KeySlotLayout, wrapped_key) == 32);

// One VMGS header, byte for byte. Two of them lie at the start of the store, slot 0 at byte 0 and
// slot 1 one header spacing further.
struct HeaderLayout {
  std::array<std::byte, 8> signature;
  base::U32Le version;
  base::U32Le checksum;  // CRC-32 of these 168 bytes with this field as zero
  base::U32Le sequence;
  base::U32Le header_bytes;
  base::U32Le file_table_block;
  base::U32Le file_table_blocks;
  base::U16Le encryption_algorithm;
  base::U16Le markers;
  std::array<KeySlotLayout, 2> key_slots;
  base::U32Le reserved;
};

static_assert(sizeof(HeaderLayout) == 168);
static_assert(offsetof(HeaderLayout, checksum) == 12);
static_assert(offsetof(HeaderLayout, file_table_block) == 24);
static_assert(offsetof(HeaderLayout, encryption_algorithm) == 32);
static_assert(offsetof(HeaderLayout, key_slots) == 36);
static_assert(offsetof(HeaderLayout, reserved) == 164);

inline constexpr std::size_t kHeaderBytes = sizeof(HeaderLayout);

// A header fills one sector of at least this size; what follows its 168 bytes is zero.
inline constexpr std::size_t kHeaderSectorBytes = 512;

using HeaderBytes = std::span<const std::byte, kHeaderBytes>;

// A key slot in use. An unused one (all 32 wrapped bytes zero) has no KeySlot.
struct KeySlot {
  std::array<std::byte, 12> nonce;
  std::array<std::byte, 16> tag;
  std::array<std::byte, 32> wrapped_key;

  friend bool operator==(const KeySlot&, const KeySlot&) = default;
};

// A header that has passed every rule of the format that needs no other bytes. The file table
// block is at least 2; whether it lies inside the store is for whoever knows the store's size.
struct Header {
  std::uint32_t sequence = 0;  // commit counter, wraps
  std::uint32_t file_table_block = 0;
  bool encrypted = false;  // AES-256-GCM
  bool reprovisioned = false;
  std::array<std::optional<KeySlot>, 2> key_slots;

  // Bits that no document defines, kept so that a check can report them.
  std::uint16_t unknown_markers = 0;
  bool reserved_nonzero = false;
};

// decode_header() judges one slot. kCorrupt names the first field that breaks a rule: signature,
// version (2 is recognised and refused), header size, table block or length, algorithm, checksum.
base::Result<Header> decode_header(HeaderBytes raw);

// encode_header() is its inverse, with the checksum filled in and reserved fields zero.
HeaderLayout encode_header(const Header& header);

// has_header_signature() looks at the first 8 bytes only.
bool has_header_signature(HeaderBytes raw);

// header_checksum() is what the checksum field of `raw` ought to hold.
std::uint32_t header_checksum(HeaderBytes raw);

// follows() tells whether sequence `a` is the one right after `b`, modulo 2^32: then `a` is newer.
constexpr bool follows(std::uint32_t a, std::uint32_t b) { return a == b + 1U; }

// has_gpt_signature() recognises a version-1 store, which was GPT partitioned, by the bytes at
// offset 512 of the device.
bool has_gpt_signature(std::span<const std::byte, 8> at_512);

}  // namespace vmgs::format
