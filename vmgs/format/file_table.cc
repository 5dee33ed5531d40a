// SPDX-License-Identifier: Apache-2.0
#include "vmgs/format/file_table.h"

#include <algorithm>
#include <string>
#include <vector>

namespace vmgs::format {

namespace {

base::Result<std::optional<FileEntry>> decode_entry(const FileEntryLayout& raw,
                                                    std::uint64_t capacity_blocks) {
  if (raw.allocated_blocks.value() == 0) {
    return std::optional<FileEntry>{};
  }
  const std::uint64_t first = raw.first_block.value();
  const std::uint64_t count = raw.allocated_blocks.value();
  if (first < kFirstUsableBlock) {
    return base::fail(base::ErrorCode::kCorrupt,
                      "first block " + std::to_string(first) + " lies in the header area");
  }
  // Both fields are 32 bits wide, so their sum cannot overflow 64.
  if (first + count > capacity_blocks) {
    return base::fail(base::ErrorCode::kCorrupt,
                      "blocks " + std::to_string(first) + " to " + std::to_string(first + count) +
                          " end past the store's " + std::to_string(capacity_blocks));
  }
  if (raw.valid_bytes.value() > count * kBlockBytes) {
    return base::fail(base::ErrorCode::kCorrupt, "size " + std::to_string(raw.valid_bytes.value()) +
                                                     " exceeds its " + std::to_string(count) +
                                                     " blocks");
  }
  return FileEntry{raw.first_block.value(),
                   raw.allocated_blocks.value(),
                   raw.valid_bytes.value(),
                   raw.nonce,
                   raw.tag,
                   raw.attributes.value(),
                   raw.reserved};
}

FileEntryLayout encode_entry(const FileEntry& entry) {
  FileEntryLayout raw{};
  raw.first_block = entry.first_block;
  raw.allocated_blocks = entry.allocated_blocks;
  raw.valid_bytes = entry.valid_bytes;
  raw.nonce = entry.nonce;
  raw.tag = entry.tag;
  raw.attributes = entry.attributes;
  raw.reserved = entry.reserved;
  return raw;
}

}  // namespace

base::Result<FileTable> decode_file_table(std::span<const std::byte, kBlockBytes> block,
                                          std::uint32_t table_block,
                                          std::uint64_t capacity_blocks) {
  const auto raw = base::load<FileTableLayout>(block);
  FileTable table;
  for (std::size_t i = 0; i < kFileIds; ++i) {
    auto entry = decode_entry(raw[i], capacity_blocks);
    if (!entry) {
      return base::fail(std::move(entry).error().context(describe(static_cast<FileId>(i))));
    }
    table.entries[i] = *entry;
  }
  const auto& self = table[FileId::kFileTable];
  if (!self || self->first_block != table_block || self->allocated_blocks != 1) {
    return base::fail(base::ErrorCode::kCorrupt,
                      "entry 0 of the file table does not describe block " +
                          std::to_string(table_block) + ", where the header says the table is");
  }
  return table;
}

base::Result<std::optional<FileEntry>> decode_file_entry(
    std::span<const std::byte, kBlockBytes> block, FileId id, std::uint64_t capacity_blocks) {
  return decode_entry(base::load<FileTableLayout>(block)[index(id)], capacity_blocks);
}

Block encode_file_table(const FileTable& table) {
  FileTableLayout raw{};
  for (std::size_t i = 0; i < kFileIds; ++i) {
    if (const auto& entry = table.entries[i]) {
      raw[i] = encode_entry(*entry);
    }
  }
  Block block{};
  base::store(raw, std::span(block));
  return block;
}

std::optional<Overlap> find_overlap(const FileTable& table) {
  std::vector<FileId> by_start;
  for (std::size_t i = 0; i < kFileIds; ++i) {
    if (table.entries[i]) {
      by_start.push_back(static_cast<FileId>(i));
    }
  }
  std::sort(by_start.begin(), by_start.end(),
            [&](FileId a, FileId b) { return table[a]->first_block < table[b]->first_block; });
  for (std::size_t i = 1; i < by_start.size(); ++i) {
    if (table[by_start[i]]->first_block < table[by_start[i - 1]]->end_block()) {
      return Overlap{by_start[i - 1], by_start[i]};
    }
  }
  return std::nullopt;
}

}  // namespace vmgs::format
