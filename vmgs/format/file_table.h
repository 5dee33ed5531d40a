// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>

#include "vmgs/base/layout.h"
#include "vmgs/base/result.h"
#include "vmgs/format/blocks.h"
#include "vmgs/format/file_id.h"

namespace vmgs::format {

// One slot of the file table, byte for byte.
struct FileEntryLayout {
  base::U32Le first_block;
  base::U32Le allocated_blocks;  // 0: the slot is unused
  base::U64Le valid_bytes;
  std::array<std::byte, 12> nonce;
  std::array<std::byte, 16> tag;
  base::U32Le attributes;
  std::array<std::byte, 16> reserved;
};

static_assert(sizeof(FileEntryLayout) == 64);
static_assert(offsetof(FileEntryLayout, valid_bytes) == 8);
static_assert(offsetof(FileEntryLayout, nonce) == 16);
static_assert(offsetof(FileEntryLayout, tag) == 28);
static_assert(offsetof(FileEntryLayout, attributes) == 44);
static_assert(offsetof(FileEntryLayout, reserved) == 48);

// Attributes: writers set both bits for an encrypted file, readers accept either.
inline constexpr std::uint32_t kAttributeEncrypted = 1;
inline constexpr std::uint32_t kAttributeAuthenticated = 2;
inline constexpr std::uint32_t kAttributesEncrypted = kAttributeEncrypted | kAttributeAuthenticated;

constexpr bool is_encrypted(std::uint32_t attributes) {
  return (attributes & kAttributesEncrypted) != 0;
}

// The block of the file table: 64 slots, slot index = file id, always plaintext.
using FileTableLayout = std::array<FileEntryLayout, kFileIds>;
static_assert(sizeof(FileTableLayout) == kBlockBytes);

// A slot in use that lies inside the store and claims no more bytes than it has blocks.
struct FileEntry {
  std::uint32_t first_block = 0;
  std::uint32_t allocated_blocks = 0;
  std::uint64_t valid_bytes = 0;
  std::array<std::byte, 12> nonce{};
  std::array<std::byte, 16> tag{};
  std::uint32_t attributes = 0;
  std::array<std::byte, 16> reserved{};

  // end_block() is one past the last block; it fits, since it was checked against the store.
  [[nodiscard]] std::uint32_t end_block() const { return first_block + allocated_blocks; }

  friend bool operator==(const FileEntry&, const FileEntry&) = default;
};

// A file table whose every entry is a FileEntry of a store of known size, and whose entry 0
// describes the table itself. Entries may still overlap: see find_overlap().
struct FileTable {
  std::array<std::optional<FileEntry>, kFileIds> entries;

  [[nodiscard]] const std::optional<FileEntry>& operator[](FileId id) const {
    return entries[index(id)];
  }

  [[nodiscard]] std::optional<FileEntry>& operator[](FileId id) { return entries[index(id)]; }
};

// decode_file_table() accepts `block`, read from block `table_block` of a store of
// `capacity_blocks`, if every used entry lies in [2, capacity) (computed in 64 bits), holds no more
// bytes than its blocks, and entry 0 is one block at `table_block`. kCorrupt names the file and the
// field otherwise.
base::Result<FileTable> decode_file_table(std::span<const std::byte, kBlockBytes> block,
                                          std::uint32_t table_block, std::uint64_t capacity_blocks);

// decode_file_entry() judges the one slot of `id` by the rules of a single entry. Nothing if the
// slot is unused; kCorrupt as decode_file_table().
base::Result<std::optional<FileEntry>> decode_file_entry(
    std::span<const std::byte, kBlockBytes> block, FileId id, std::uint64_t capacity_blocks);

// encode_file_table() is the inverse of decode_file_table(); unused slots are zero.
Block encode_file_table(const FileTable& table);

struct Overlap {
  FileId first;
  FileId second;
};

// find_overlap() names two entries that claim one block, if there are such. A store with an overlap
// can be read with care and must never be written.
std::optional<Overlap> find_overlap(const FileTable& table);

}  // namespace vmgs::format
