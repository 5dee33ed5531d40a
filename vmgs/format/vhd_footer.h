// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "vmgs/base/bytes.h"
#include "vmgs/base/layout.h"
#include "vmgs/base/result.h"

namespace vmgs::format {

// The last 512 bytes of a fixed VHD, byte for byte (Virtual Hard Disk Image Format Specification,
// "Hard Disk Footer Format"). All integers are big-endian.
struct VhdFooterLayout {
  std::array<std::byte, 8> cookie;
  base::U32Be features;
  base::U32Be format_version;
  base::U64Be data_offset;
  base::U32Be time_stamp;
  std::array<std::byte, 4> creator_application;
  base::U32Be creator_version;
  std::array<std::byte, 4> creator_host;
  base::U64Be original_bytes;
  base::U64Be current_bytes;
  base::U32Be geometry;
  base::U32Be disk_type;
  base::U32Be checksum;  // complement of the sum of all 512 bytes with this field as zero
  std::array<std::byte, 16> unique_id;
  std::byte saved_state;
  std::array<std::byte, 427> reserved;
};

static_assert(sizeof(VhdFooterLayout) == 512);
static_assert(offsetof(VhdFooterLayout, format_version) == 12);
static_assert(offsetof(VhdFooterLayout, data_offset) == 16);
static_assert(offsetof(VhdFooterLayout, time_stamp) == 24);
static_assert(offsetof(VhdFooterLayout, creator_version) == 32);
static_assert(offsetof(VhdFooterLayout, original_bytes) == 40);
static_assert(offsetof(VhdFooterLayout, current_bytes) == 48);
static_assert(offsetof(VhdFooterLayout, geometry) == 56);
static_assert(offsetof(VhdFooterLayout, disk_type) == 60);
static_assert(offsetof(VhdFooterLayout, checksum) == 64);
static_assert(offsetof(VhdFooterLayout, unique_id) == 68);
static_assert(offsetof(VhdFooterLayout, saved_state) == 84);

inline constexpr std::size_t kVhdFooterBytes = sizeof(VhdFooterLayout);

// A VHD has 512-byte sectors, always.
inline constexpr std::uint32_t kVhdSectorBytes = 512;

using VhdFooterBytes = std::span<const std::byte, kVhdFooterBytes>;

// The footer of a fixed VHD that has passed every rule. It remembers all 512 bytes, because other
// makers fill fields that ours leaves zero, and a footer that is not ours is kept as it is.
struct VhdFooter {
  VhdFooterLayout raw;

  // disk_bytes() is the room in front of the footer, a multiple of 512.
  [[nodiscard]] std::uint64_t disk_bytes() const { return raw.current_bytes.value(); }
};

// has_vhd_cookie() looks at the first 8 bytes only. A fixed VHD has them at the start of its last
// 512 bytes, a dynamic or differencing one also at the start of the file.
bool has_vhd_cookie(VhdFooterBytes bytes);

// has_vhdx_signature() recognises a VHDX file by its first 8 bytes.
bool has_vhdx_signature(std::span<const std::byte, 8> start);

// decode_vhd_footer() judges the last 512 bytes of a file of `file_bytes`. kDenied for a dynamic or
// differencing VHD, which are whole but not for us; kCorrupt for anything else that is wrong, and
// the message names the field.
base::Result<VhdFooter> decode_vhd_footer(VhdFooterBytes bytes, std::uint64_t file_bytes);

// make_vhd_footer() is the footer of a new disk, as the deployed tools write it. `unique_id` is
// meant to be random. kInvalidArgument if `disk_bytes` is not a multiple of 512.
base::Result<VhdFooter> make_vhd_footer(std::uint64_t disk_bytes,
                                        const std::array<std::byte, 16>& unique_id);

// resize_vhd_footer() is `footer` with both sizes and the checksum made anew and every other byte
// kept. The caller moves it to the new end of the file. kInvalidArgument as above.
base::Result<VhdFooter> resize_vhd_footer(VhdFooter footer, std::uint64_t disk_bytes);

}  // namespace vmgs::format
