// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <utility>

#include "vmgs/crypto/aead.h"
#include "vmgs/repair/candidates.h"
#include "vmgs/repair/mend.h"
#include "vmgs/volume/headers.h"
#include "vmgs/volume/placement.h"

namespace vmgs::repair {

namespace {

using format::FileEntry;
using format::FileId;
using volume::Generation;
using volume::write_header;

// A table in which more slots than this are wrong is no table any more.
constexpr int kMostBadEntries = 8;
// How much is decrypted at most in search of one file.
constexpr std::uint64_t kMostSearchedBytes = std::uint64_t{256} << 20;
constexpr std::size_t kEntryBytes = sizeof(format::FileEntryLayout);
constexpr std::size_t kSectorBytes = format::kHeaderSectorBytes;

// The state that the headers lead to, and its file table as it lies.
struct Table {
  Generation generation;
  std::optional<Generation> older;
  format::Block block{};
  std::uint64_t capacity = 0;

  [[nodiscard]] const format::Header& header() const { return generation.header(); }

  [[nodiscard]] base::Result<std::optional<FileEntry>> entry(FileId id) const {
    return format::decode_file_entry(block, id, capacity);
  }
};

// Nothing where there is no table to look at.
base::Result<std::optional<Table>> read_table(const Case& patient) {
  const auto slots = volume::read_header_slots(patient.device, patient.spacing);
  const auto order = slots ? volume::order_headers(*slots)
                           : base::Result<volume::HeaderOrder>(base::fail(slots.error()));
  if (!order) {
    return std::optional<Table>();
  }
  TRY_ASSIGN(generation,
             Generation::read(patient.device, order->newest, *(*slots)[order->newest].header));
  Table table{std::move(generation), std::nullopt, {}, 0};
  table.capacity = format::capacity_blocks(patient.device.size_bytes());
  if (order->older) {
    TRY_ASSIGN(older,
               Generation::read(patient.device, *order->older, *(*slots)[*order->older].header));
    table.older = std::move(older);
  }
  if (table.header().file_table_block < table.capacity) {
    TRY(patient.device.read(std::uint64_t{table.header().file_table_block} * format::kBlockBytes,
                            table.block));
  }
  if (table.header().encrypted && patient.key != nullptr) {
    TRY(table.generation.unlock(patient.device, *patient.key));
    if (table.older && table.older->header().encrypted) {
      TRY(table.older->unlock(patient.device, *patient.key));
    }
  }
  return std::optional(std::move(table));
}

bool is_lost(const Table& table) {
  int bad = 0;
  for (std::size_t i = 0; i < format::kFileIds; ++i) {
    bad += table.entry(static_cast<FileId>(i)) ? 0 : 1;
  }
  return table.header().file_table_block >= table.capacity || bad > kMostBadEntries ||
         base::is_all_zero(table.block);
}

// Whoever changes a table of an encrypted store must be able to tell right from wrong.
bool may_change(const Table& table) {
  return !table.header().encrypted || table.generation.unlocked();
}

// One entry in its place: one sector, which a disk writes whole or not at all.
base::Result<void> write_entry(const Case& patient, Table& table, FileId id,
                               const format::FileEntryLayout& entry) {
  base::store(entry,
              std::span(table.block).subspan(format::index(id) * kEntryBytes).first<kEntryBytes>());
  const auto sector = format::index(id) * kEntryBytes / kSectorBytes * kSectorBytes;
  TRY(patient.device.write(
      std::uint64_t{table.header().file_table_block} * format::kBlockBytes + sector,
      std::span(table.block).subspan(sector, kSectorBytes)));
  return patient.device.flush();
}

format::FileEntryLayout layout_of(const FileEntry& entry) {
  format::FileTable table;
  table.entries[1] = entry;
  const auto block = format::encode_file_table(table);
  return base::load<format::FileEntryLayout>(std::span(block).subspan<kEntryBytes, kEntryBytes>());
}

format::FileEntryLayout raw_entry(const Table& table, FileId id) {
  return base::load<format::FileEntryLayout>(
      std::span(table.block).subspan(format::index(id) * kEntryBytes).first<kEntryBytes>());
}

// Every entry that decodes, for placing something where nothing lies.
format::FileTable sound_entries(const Table& table) {
  format::FileTable result;
  for (std::size_t i = 0; i < format::kFileIds; ++i) {
    if (auto entry = table.entry(static_cast<FileId>(i)); entry && *entry) {
      result.entries[i] = **entry;
    }
  }
  FileEntry self;
  self.first_block = table.header().file_table_block;
  self.allocated_blocks = 1;
  self.valid_bytes = format::kBlockBytes;
  result[FileId::kFileTable] = self;
  return result;
}

base::Result<std::uint32_t> place(const Table& table, std::uint64_t blocks) {
  const format::FileTable* const previous =
      table.older && table.older->table() ? &*table.older->table() : nullptr;
  return volume::Placement(table.capacity, sound_entries(table), previous).place(blocks);
}

// Where the content of an encrypted file lies, by trying: its key, nonce, tag and size are known,
// and only the right blocks authenticate.
base::Result<std::optional<FileEntry>> find_sealed(const Case& patient, const Table& table,
                                                   FileId id) {
  const auto raw = raw_entry(table, id);
  const auto size = raw.valid_bytes.value();
  const auto blocks = format::blocks_for(size);
  if (!table.generation.unlocked() || size == 0 || size > kMostSearchedBytes ||
      blocks > table.capacity ||
      !format::is_encrypted(table.generation.extended().attributes(id))) {
    return std::optional<FileEntry>();
  }
  const auto key = table.generation.extended().key(id);
  base::Bytes sealed(size);
  base::SecretBytes opened(size);
  std::uint64_t searched = 0;
  for (std::uint64_t first = format::kFirstUsableBlock;
       first + blocks <= table.capacity && searched < kMostSearchedBytes; ++first) {
    TRY(patient.device.read(first * format::kBlockBytes, sealed));
    searched += size;
    if (crypto::open(key, raw.nonce, {}, raw.tag, sealed, opened.fill())) {
      FileEntry entry;
      entry.first_block = static_cast<std::uint32_t>(first);
      entry.allocated_blocks = static_cast<std::uint32_t>(blocks);
      entry.valid_bytes = size;
      entry.nonce = raw.nonce;
      entry.tag = raw.tag;
      entry.attributes = format::kAttributesEncrypted;
      return std::optional(entry);
    }
  }
  return std::optional<FileEntry>();
}

Outcome needs_key(const volume::Finding& finding) {
  return not_done(finding.code, finding.where,
                  "the store is encrypted: give its key (--key), so that what is changed can be "
                  "proven right");
}

}  // namespace

Mended mend_lost_table(const Case& patient) {
  const auto* finding = patient.found("stale-key");
  for (const auto* const code : {"bad-entry", "bad-file-table", "bad-self-entry"}) {
    finding = finding == nullptr ? patient.found(code) : finding;
  }
  if (finding == nullptr) {
    return std::optional<Outcome>();
  }
  TRY_ASSIGN(table, read_table(patient));
  if (!table || (finding->code != "stale-key" && !is_lost(*table))) {
    return std::optional<Outcome>();
  }
  if (table->header().encrypted && patient.key == nullptr) {
    return std::optional(needs_key(*finding));
  }
  const auto& older = table->older;
  const bool usable = older && older->table() && !format::find_overlap(*older->table()) &&
                      (older->header().encrypted ? older->unlocked()
                                                 : !table->header().encrypted && is_sound(*older));
  if (!usable) {
    return std::optional(not_done(finding->code, finding->where,
                                  "the tables are lost and no generation before them is whole. "
                                  "`vmgs salvage` gets out what still authenticates"));
  }
  if (!patient.accepts("older-generation")) {
    return std::optional(
        not_done("older-generation", finding->where,
                 "the newest tables are lost; the state before them is whole. Say --accept "
                 "older-generation to go back to it: what was written since, counters of the TPM "
                 "too, is lost, and a broker that keeps an anchor asks for an authorised restore"));
  }
  auto header = older->header();
  header.sequence = table->header().sequence;
  TRY(write_header(patient.device, patient.spacing, table->generation.slot(), header));
  TRY(patient.device.flush());
  auto outcome = done("older-generation", finding->where, "go back to the state before the newest");
  outcome.anything_changes = true;
  return std::optional(std::move(outcome));
}

Mended mend_self_entry(const Case& patient) {
  const auto* const finding = patient.found("bad-self-entry");
  if (finding == nullptr) {
    return std::optional<Outcome>();
  }
  TRY_ASSIGN(table, read_table(patient));
  if (!table || is_lost(*table)) {
    return std::optional<Outcome>();
  }
  if (!may_change(*table)) {
    return std::optional(needs_key(*finding));
  }
  // A table always has its own entry; a block with nothing but files in it is something else.
  const auto extended = table->entry(FileId::kExtendedFileTable);
  if (!extended || !*extended) {
    return std::optional(not_done(finding->code, finding->where,
                                  "nothing shows that this block is a file table. `vmgs salvage` "
                                  "looks for others"));
  }
  TRY(write_entry(patient, *table, FileId::kFileTable,
                  layout_of(*sound_entries(*table)[FileId::kFileTable])));
  return std::optional(done(
      finding->code, finding->where,
      "let entry 0 name block " + std::to_string(table->header().file_table_block) + " again"));
}

Mended mend_entries(const Case& patient) {
  const auto* const finding = patient.found("bad-entry");
  if (finding == nullptr) {
    return std::optional<Outcome>();
  }
  TRY_ASSIGN(table, read_table(patient));
  if (!table || is_lost(*table)) {
    return std::optional<Outcome>();
  }
  if (!may_change(*table)) {
    return std::optional(needs_key(*finding));
  }
  std::optional<Outcome> open;
  for (std::size_t i = 1; i < format::kFileIds; ++i) {
    const auto id = static_cast<FileId>(i);
    if (table->entry(id) || id == FileId::kExtendedFileTable) {
      continue;
    }
    const auto where = format::describe(id);
    const auto raw = raw_entry(*table, id);
    // The generation before may say where this very content lies: one nonce and tag, one content.
    if (table->older && table->older->table()) {
      const auto& before = (*table->older->table())[id];
      if (before && !base::is_all_zero(before->tag) && before->nonce == raw.nonce &&
          before->tag == raw.tag) {
        TRY(write_entry(patient, *table, id, layout_of(*before)));
        return std::optional(done("bad-entry", where,
                                  "take its place from the generation before, which has the same "
                                  "content"));
      }
    }
    TRY_ASSIGN(sealed, find_sealed(patient, *table, id));
    if (sealed) {
      TRY(write_entry(patient, *table, id, layout_of(*sealed)));
      return std::optional(done("bad-entry", where,
                                "its content authenticates at block " +
                                    std::to_string(sealed->first_block) + ": name that place"));
    }
    if (patient.wishes.dropped.contains(id)) {
      TRY(write_entry(patient, *table, id, {}));
      auto outcome = done("bad-entry", where, "take its entry out of the file table");
      outcome.changed.insert(id);
      return std::optional(std::move(outcome));
    }
    if (!open) {
      open = not_done("bad-entry", where,
                      "where its content lies is lost. Say --drop " + std::to_string(i) +
                          " to take it out of the table, so that the rest opens again; `vmgs "
                          "salvage` and `vmgs previous` look for an older copy");
    }
  }
  return open;
}

Mended mend_extended_entry(const Case& patient) {
  const auto* const finding = patient.found("bad-extended-entry");
  const auto* const range = patient.found("bad-entry");
  const auto name = format::describe(FileId::kExtendedFileTable);
  // A newest table that only seems torn, because the way to it is lost, is still the newest.
  const bool seems_torn = patient.found("fell-back") != nullptr;
  if (finding == nullptr && !seems_torn &&
      (range == nullptr || range->where.find(name) == std::string::npos)) {
    return std::optional<Outcome>();
  }
  TRY_ASSIGN(table, read_table(patient));
  if (!table || is_lost(*table) ||
      (seems_torn && table->entry(FileId::kExtendedFileTable).has_value())) {
    return std::optional<Outcome>();
  }
  FileEntry entry;
  entry.allocated_blocks = 1;
  entry.valid_bytes = format::kBlockBytes;
  if (!table->header().encrypted) {
    const auto block = place(*table, 1);
    if (!block) {
      return std::optional(not_done("bad-extended-entry", name, block.error().message));
    }
    entry.first_block = *block;
    const base::Bytes nothing(format::kBlockBytes);
    TRY(patient.device.write(std::uint64_t{*block} * format::kBlockBytes, nothing));
    TRY(patient.device.flush());
    TRY(write_entry(patient, *table, FileId::kExtendedFileTable, layout_of(entry)));
    return std::optional(done("bad-extended-entry", name, "give the store an empty one"));
  }
  if (patient.key == nullptr) {
    return std::optional(not_done("bad-extended-entry", name,
                                  "with the store's key (--key) its block can be looked for"));
  }
  // Nonce and tag may be whole where only the place is lost; the right block authenticates.
  const auto raw = raw_entry(*table, FileId::kExtendedFileTable);
  entry.nonce = raw.nonce;
  entry.tag = raw.tag;
  entry.attributes = raw.attributes.value();
  for (auto at = std::uint64_t{format::kFirstUsableBlock}; at < table->capacity; ++at) {
    entry.first_block = static_cast<std::uint32_t>(at);
    auto tried = sound_entries(*table);
    tried[FileId::kExtendedFileTable] = entry;
    Generation generation(table->generation.slot(), table->header(), tried, std::nullopt);
    TRY_ASSIGN(unlocking, generation.unlock(patient.device, *patient.key));
    if (unlocking == volume::Unlocking::kNoSlotOpens) {
      break;
    }
    if (unlocking == volume::Unlocking::kOpened) {
      TRY(write_entry(patient, *table, FileId::kExtendedFileTable, layout_of(entry)));
      TRY_ASSIGN(newest,
                 Generation::read(patient.device, table->generation.slot(), table->header()));
      TRY(newest.unlock(patient.device, *patient.key));
      // The state that opens today is left only for one that is whole.
      if (seems_torn && !is_whole(patient.device, newest)) {
        return std::optional<Outcome>();
      }
      auto outcome = done("bad-extended-entry", name,
                          "it authenticates at block " + std::to_string(at) + ": name that place");
      outcome.anything_changes = seems_torn;
      return std::optional(std::move(outcome));
    }
  }
  if (seems_torn) {
    return std::optional<Outcome>();
  }
  return std::optional(not_done("bad-extended-entry", name,
                                "it is nowhere in the store, and with it the keys of the encrypted "
                                "files. `vmgs previous` reads the generation before"));
}

Mended mend_overlap(const Case& patient) {
  const auto* const finding = patient.found("overlap");
  if (finding == nullptr) {
    return std::optional<Outcome>();
  }
  TRY_ASSIGN(table, read_table(patient));
  if (!table || !table->generation.table()) {
    return std::optional<Outcome>();
  }
  if (!may_change(*table)) {
    return std::optional(needs_key(*finding));
  }
  const auto overlap = format::find_overlap(*table->generation.table());
  if (!overlap) {
    return std::optional<Outcome>();
  }
  const auto entry_of = [&](FileId id) { return *(*table->generation.table())[id]; };
  for (const auto id : {overlap->first, overlap->second}) {
    auto entry = entry_of(id);
    const auto needed = static_cast<std::uint32_t>(format::blocks_for(entry.valid_bytes));
    if (entry.allocated_blocks > needed && format::is_content(id)) {
      entry.allocated_blocks = needed;
      TRY(write_entry(patient, *table, id, layout_of(entry)));
      return std::optional(done(
          "overlap", finding->where,
          "give back the blocks of " + format::describe(id) + " that its content does not need"));
    }
  }
  // Whoever moves keeps the bytes that it reads today, right or wrong; so nothing is lost.
  auto mover = format::is_content(overlap->second) ? overlap->second : overlap->first;
  if (format::is_content(overlap->first) && format::is_content(overlap->second) &&
      !table->generation.read_file(patient.device, overlap->first) &&
      table->generation.read_file(patient.device, overlap->second)) {
    mover = overlap->first;
  }
  if (!format::is_content(mover)) {
    return std::optional(not_done("overlap", finding->where,
                                  "the two tables lie in one block, so one of them is lost. `vmgs "
                                  "salvage` gets out what still reads"));
  }
  if (patient.wishes.dropped.contains(mover)) {
    TRY(write_entry(patient, *table, mover, {}));
    auto outcome = done("overlap", finding->where, "take " + format::describe(mover) + " out");
    outcome.changed.insert(mover);
    return std::optional(std::move(outcome));
  }
  auto entry = entry_of(mover);
  const auto block = place(*table, entry.allocated_blocks);
  if (!block) {
    return std::optional(not_done("overlap", finding->where,
                                  "there is no room to set the two apart (" +
                                      block.error().message +
                                      "): grow the store with `vmgs "
                                      "resize`, or say --drop " +
                                      std::to_string(format::index(mover))));
  }
  base::Bytes bytes(std::uint64_t{entry.allocated_blocks} * format::kBlockBytes);
  TRY(patient.device.read(std::uint64_t{entry.first_block} * format::kBlockBytes, bytes));
  TRY(patient.device.write(std::uint64_t{*block} * format::kBlockBytes, bytes));
  TRY(patient.device.flush());
  entry.first_block = *block;
  TRY(write_entry(patient, *table, mover, layout_of(entry)));
  return std::optional(done("overlap", finding->where,
                            "copy " + format::describe(mover) + " to block " +
                                std::to_string(*block) +
                                ", so that each has blocks of its own; one of the two holds "
                                "something else than it should all the same"));
}

}  // namespace vmgs::repair
