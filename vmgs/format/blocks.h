// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace vmgs::format {

// Numbers of the container (VMGS version 3). Integers on disk are little-endian.
inline constexpr std::uint32_t kBlockBytes = 4096;
inline constexpr std::uint32_t kFirstUsableBlock = 2;  // 0 and 1 hold the two headers
inline constexpr std::uint64_t kMaxStoreBytes = std::uint64_t{1} << 44;
inline constexpr std::uint64_t kDefaultStoreBytes = 4 * 1024 * 1024;
// The smallest store that can rewrite a one-block file: headers 2, file table 2, extended table 2
// and the file twice.
inline constexpr std::uint64_t kSmallestStoreBytes = std::uint64_t{8} * kBlockBytes;

// HeaderSpacing is the distance between the two headers in bytes: the logical sector size of the
// device that the store was formatted on. Nothing in the store records it.
enum class HeaderSpacing : std::uint32_t { k512 = 512, k4096 = 4096 };

using Block = std::array<std::byte, kBlockBytes>;

// capacity_blocks() is how many whole blocks a device of `size_bytes` gives; a trailing part-block
// is never used.
constexpr std::uint64_t capacity_blocks(std::uint64_t size_bytes) {
  return (size_bytes < kMaxStoreBytes ? size_bytes : kMaxStoreBytes) / kBlockBytes;
}

// blocks_for() is how many blocks a file of `bytes` occupies: an empty file has one.
constexpr std::uint64_t blocks_for(std::uint64_t bytes) {
  return bytes == 0 ? 1 : (bytes + kBlockBytes - 1) / kBlockBytes;
}

}  // namespace vmgs::format
