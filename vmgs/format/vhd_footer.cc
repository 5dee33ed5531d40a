// SPDX-License-Identifier: Apache-2.0
#include "vmgs/format/vhd_footer.h"

#include <algorithm>
#include <limits>
#include <string>

namespace vmgs::format {

namespace {

constexpr std::string_view kCookie = "conectix";
constexpr std::string_view kVhdxSignature = "vhdxfile";
constexpr std::uint32_t kReservedFeature = 2;  // a bit that the specification wants set
constexpr std::uint32_t kFormatVersion = 0x00010000;
constexpr std::uint64_t kNoDataOffset = std::numeric_limits<std::uint64_t>::max();
constexpr std::uint32_t kCreatorVersion = 0x000A0000;
constexpr std::uint32_t kFixed = 2;
constexpr std::uint32_t kDynamic = 3;
constexpr std::uint32_t kDifferencing = 4;

std::uint32_t checksum_of(VhdFooterLayout raw) {
  raw.checksum = 0;
  std::uint32_t sum = 0;
  for (const auto byte : base::view(raw)) {
    sum += std::to_integer<std::uint32_t>(byte);
  }
  return ~sum;
}

tl::unexpected<base::Error> corrupt(std::string message) {
  return base::fail(base::ErrorCode::kCorrupt, "VHD footer: " + std::move(message));
}

tl::unexpected<base::Error> other_kind(std::string_view kind) {
  return base::fail(base::ErrorCode::kDenied,
                    "this is a " + std::string(kind) +
                        " VHD, and only fixed ones hold a guest state: convert it to a fixed VHD "
                        "first");
}

}  // namespace

bool has_vhd_cookie(VhdFooterBytes bytes) {
  return std::ranges::equal(bytes.first<kCookie.size()>(), base::bytes_of(kCookie));
}

bool has_vhdx_signature(std::span<const std::byte, 8> start) {
  return std::ranges::equal(start, base::bytes_of(kVhdxSignature));
}

base::Result<VhdFooter> decode_vhd_footer(VhdFooterBytes bytes, std::uint64_t file_bytes) {
  const auto raw = base::load<VhdFooterLayout>(bytes);
  if (!has_vhd_cookie(bytes)) {
    return corrupt("no cookie");
  }
  if (raw.checksum.value() != checksum_of(raw)) {
    return corrupt("checksum does not match");
  }
  if (raw.format_version.value() != kFormatVersion) {
    return corrupt("unknown format version " + std::to_string(raw.format_version.value()));
  }
  if (raw.disk_type.value() == kDynamic) {
    return other_kind("dynamic");
  }
  if (raw.disk_type.value() == kDifferencing) {
    return other_kind("differencing");
  }
  if (raw.disk_type.value() != kFixed) {
    return corrupt("unknown disk type " + std::to_string(raw.disk_type.value()));
  }
  if (file_bytes < kVhdFooterBytes || file_bytes % kVhdSectorBytes != 0) {
    return corrupt("the file is " + std::to_string(file_bytes) +
                   " bytes long, which is no whole number of sectors with a footer");
  }
  const std::uint64_t disk_bytes = raw.current_bytes.value();
  if (disk_bytes % kVhdSectorBytes != 0) {
    return corrupt("current size " + std::to_string(disk_bytes) + " is not a multiple of 512");
  }
  if (disk_bytes > file_bytes - kVhdFooterBytes) {
    return corrupt("current size " + std::to_string(disk_bytes) + " is more than the " +
                   std::to_string(file_bytes - kVhdFooterBytes) +
                   " bytes in front of the footer: the file was cut");
  }
  return VhdFooter{raw};
}

base::Result<VhdFooter> make_vhd_footer(std::uint64_t disk_bytes,
                                        const std::array<std::byte, 16>& unique_id) {
  VhdFooterLayout raw{};
  std::ranges::copy(base::bytes_of(kCookie), raw.cookie.begin());
  raw.features = kReservedFeature;
  raw.format_version = kFormatVersion;
  raw.data_offset = kNoDataOffset;
  raw.creator_version = kCreatorVersion;
  raw.disk_type = kFixed;
  raw.unique_id = unique_id;
  return resize_vhd_footer(VhdFooter{raw}, disk_bytes);
}

base::Result<VhdFooter> resize_vhd_footer(VhdFooter footer, std::uint64_t disk_bytes) {
  if (disk_bytes % kVhdSectorBytes != 0) {
    return base::fail(base::ErrorCode::kInvalidArgument,
                      "a VHD of " + std::to_string(disk_bytes) +
                          " bytes cannot be: its size is a multiple of 512");
  }
  footer.raw.original_bytes = disk_bytes;
  footer.raw.current_bytes = disk_bytes;
  footer.raw.checksum = checksum_of(footer.raw);
  return footer;
}

}  // namespace vmgs::format
