// SPDX-License-Identifier: Apache-2.0
#include "vmgs/repair/structure.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string>

#include "vmgs/format/blocks.h"
#include "vmgs/format/file_table.h"

namespace vmgs::repair {

namespace {

using format::FileEntry;
using format::FileId;

constexpr std::uint32_t kKnownAttributes = format::kAttributesEncrypted;

struct FixedSize {
  FileId id;
  std::uint64_t bytes;
  std::uint64_t or_bytes;
};

// TPM_NVRAM is judged with its content, since ours has an envelope and then any size.
constexpr std::array<FixedSize, 5> kFixedSizes = {{
    {FileId::kTpmPpi, 28, 28},
    {FileId::kRtcSkew, 8, 8},
    {FileId::kGuestWatchdog, 1, 1},
    {FileId::kHwKeyProtector, 104, 128},
    {FileId::kHibernationToken, 8, 8},
}};

using Entries = std::array<std::optional<FileEntry>, format::kFileIds>;

// Every entry that is right for itself; the others are reported and left out.
Entries sound_entries(std::span<const std::byte, format::kBlockBytes> block,
                      std::uint64_t capacity_blocks, Report& report) {
  Entries entries;
  for (std::size_t i = 0; i < entries.size(); ++i) {
    const auto id = static_cast<FileId>(i);
    auto entry = format::decode_file_entry(block, id, capacity_blocks);
    if (entry) {
      entries[i] = *entry;
      continue;
    }
    report.error("bad-entry", format::describe(id),
                 entry.error().message +
                     ": the file table is damaged or forged, and no file of "
                     "it can be trusted");
  }
  return entries;
}

void examine_own_entry(Entries& entries, std::uint32_t table_block, Report& report) {
  auto& own = entries[format::index(FileId::kFileTable)];
  if (!own || own->first_block != table_block || own->allocated_blocks != 1) {
    report.error("bad-self-entry", format::describe(FileId::kFileTable),
                 "entry 0 of the file table does not describe block " +
                     std::to_string(table_block) +
                     ", where the header says the table is: other tools would write over the "
                     "live table");
    // From here on the block that is in use counts.
    own.emplace();
    own->first_block = table_block;
    own->allocated_blocks = 1;
    own->valid_bytes = format::kBlockBytes;
  }
}

void examine_extended_entry(const Entries& entries, bool encrypted, Report& report) {
  const auto& entry = entries[format::index(FileId::kExtendedFileTable)];
  if (entry && entry->allocated_blocks == 1 && entry->valid_bytes == format::kBlockBytes) {
    return;
  }
  const auto where = format::describe(FileId::kExtendedFileTable);
  const std::string what =
      entry ? "its entry is not one block of 4096 bytes" : "there is no entry for it";
  if (encrypted) {
    report.error("bad-extended-entry", where,
                 what + ": without it no key opens any encrypted file");
  } else {
    report.warn("bad-extended-entry", where,
                what + ", though every version 3 store has one; the store cannot be encrypted");
  }
}

void examine_overlaps(const Entries& entries, Report& report) {
  for (std::size_t i = 0; i < entries.size(); ++i) {
    for (std::size_t j = i + 1; j < entries.size(); ++j) {
      if (!entries[i] || !entries[j]) {
        continue;
      }
      const auto first = std::max(entries[i]->first_block, entries[j]->first_block);
      const auto end = std::min(entries[i]->end_block(), entries[j]->end_block());
      if (first < end) {
        report.error("overlap",
                     format::describe(static_cast<FileId>(i)) + " and " +
                         format::describe(static_cast<FileId>(j)),
                     "both claim blocks " + std::to_string(first) + " to " + std::to_string(end) +
                         ": at least one of them is damaged. Copy out what still reads; nothing "
                         "may be written to this store");
      }
    }
  }
}

void examine_entry(FileId id, const FileEntry& entry, bool store_is_encrypted, Report& report) {
  const auto where = format::describe(id);
  if (entry.allocated_blocks > format::blocks_for(entry.valid_bytes)) {
    report.warn("extra-blocks", where,
                "has " + std::to_string(entry.allocated_blocks) + " blocks for " +
                    std::to_string(entry.valid_bytes) +
                    " bytes: wasted room, which writing the file again gives back");
  }
  if ((entry.attributes & ~kKnownAttributes) != 0 || !base::is_all_zero(entry.reserved)) {
    report.warn("unknown-bits", where,
                "its file table entry has attribute or reserved bits that no document names: a "
                "newer writer, or damage");
  }
  if (!store_is_encrypted && format::is_encrypted(entry.attributes)) {
    report.error("downgrade", where,
                 "is marked encrypted, but the header says that the store is not: the header was "
                 "changed, or a key was removed. The file can be read by nobody");
  }
  const auto* const fixed = std::find_if(kFixedSizes.begin(), kFixedSizes.end(),
                                         [id](const FixedSize& known) { return known.id == id; });
  if (fixed != kFixedSizes.end() && entry.valid_bytes != fixed->bytes &&
      entry.valid_bytes != fixed->or_bytes) {
    report.warn("wrong-size", where,
                "is " + std::to_string(entry.valid_bytes) + " bytes long, not " +
                    std::to_string(fixed->bytes) +
                    (fixed->or_bytes != fixed->bytes ? " or " + std::to_string(fixed->or_bytes)
                                                     : std::string()) +
                    ": whoever reads it may refuse it");
  }
}

}  // namespace

void examine_header(const format::Header& header, std::size_t slot, Report& report) {
  const auto where = "header slot " + std::to_string(slot);
  const bool has_slot = header.key_slots[0] || header.key_slots[1];
  if (header.encrypted && !has_slot) {
    report.error("no-key-slot", where,
                 "the header says that the store is encrypted but has no key slot in use: no key "
                 "opens it");
  }
  if (header.encrypted && header.key_slots[0] && header.key_slots[1]) {
    report.warn("two-keys", where,
                "both key slots are in use: a change of key was interrupted. Either key opens the "
                "store; finish with `vmgs rekey`");
  }
  if (!header.encrypted && has_slot) {
    report.error("downgrade", where,
                 "the header says that the store is not encrypted, yet it has key slots: it was "
                 "changed to look unprotected");
  }
  if (header.unknown_markers != 0 || header.reserved_nonzero) {
    report.warn("unknown-bits", where,
                "the header has marker or reserved bits that no document names: a newer writer, "
                "or damage; the next write drops them");
  }
  if (header.reprovisioned) {
    report.note("reprovisioned", where,
                "the reprovisioned marker is set: the store was wiped on the host's request at "
                "its last start. The next write clears the marker");
  }
}

base::Result<void> examine_file_table(storage::BlockDevice& device, const format::Header& header,
                                      Report& report) {
  const auto capacity = format::capacity_blocks(device.size_bytes());
  if (header.file_table_block >= capacity) {
    report.error("bad-file-table", format::describe(FileId::kFileTable),
                 "the header puts it at block " + std::to_string(header.file_table_block) +
                     " of a store of " + std::to_string(capacity) +
                     ": the store was cut, or the header forged");
    return {};
  }
  format::Block block{};
  TRY(device.read(std::uint64_t{header.file_table_block} * format::kBlockBytes, block));
  auto entries = sound_entries(block, capacity, report);
  examine_own_entry(entries, header.file_table_block, report);
  examine_extended_entry(entries, header.encrypted, report);
  examine_overlaps(entries, report);
  for (std::size_t i = 0; i < entries.size(); ++i) {
    if (entries[i]) {
      examine_entry(static_cast<FileId>(i), *entries[i], header.encrypted, report);
    }
  }
  return {};
}

}  // namespace vmgs::repair
