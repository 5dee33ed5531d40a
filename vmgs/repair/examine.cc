// SPDX-License-Identifier: Apache-2.0
#include "vmgs/repair/examine.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "vmgs/format/header_spacing.h"
#include "vmgs/repair/candidates.h"
#include "vmgs/repair/contents.h"
#include "vmgs/repair/report.h"
#include "vmgs/repair/structure.h"
#include "vmgs/volume/choice.h"
#include "vmgs/volume/generation.h"
#include "vmgs/volume/headers.h"
#include "vmgs/volume/placement.h"

namespace vmgs::repair {

namespace {

using base::ErrorCode;
using volume::Generation;

std::string slot_name(std::size_t slot) { return "header slot " + std::to_string(slot); }

std::string_view code_of_no_store(ErrorCode code) {
  switch (code) {
    case ErrorCode::kNotFound:
      return "blank";
    case ErrorCode::kDenied:
      return "version-1";
    default:
      return "too-short";
  }
}

// A slot that holds no valid header. A blank one is as it should be beside the first commit.
void examine_slots(const volume::HeaderSlots& slots, Report& report) {
  for (std::size_t slot = 0; slot < slots.size(); ++slot) {
    const auto& beside = slots[1 - slot].header;
    if (slots[slot].header || (slots[slot].blank && beside && beside->sequence == 1)) {
      continue;
    }
    const std::string what =
        slots[slot].blank ? "blank" : std::string(slots[slot].header.error().message);
    if (beside) {
      report.warn("bad-header", slot_name(slot),
                  what + ": a commit was cut off, or an older state was put back. Slot " +
                      std::to_string(1 - slot) +
                      " is the state; compare its sequence with what you know of this VM");
    } else {
      report.error("bad-header", slot_name(slot), what);
    }
  }
}

// A header where slot 1 would lie at the other spacing: whoever formatted the store had other
// sectors than whoever opens it here, and wrote its commits there.
base::Result<void> examine_spacing(storage::BlockDevice& device, format::HeaderSpacing spacing,
                                   const volume::HeaderSlots& slots, Report& report) {
  if (slots[1].header) {
    return {};
  }
  base::Bytes area(format::kHeaderAreaBytes);
  TRY(device.read(0, area));
  const auto other = spacing == format::HeaderSpacing::k512 ? format::HeaderSpacing::k4096
                                                            : format::HeaderSpacing::k512;
  if (format::decode_header(format::header_at(format::HeaderArea(area), other, 1))) {
    report.error("wrong-spacing", slot_name(1),
                 "there is a header " + std::to_string(format::bytes(other)) +
                     " bytes from the first, as on a disk with sectors of that size, where nobody "
                     "looks who opens this store here: it may be the newest");
  }
  return {};
}

// A header that still wraps a key which the newest one has dropped: the old key opens the file as
// it lies, if the newest header is damaged.
void examine_old_key(const Generation& newest, const Generation& older, Report& report) {
  for (std::size_t i = 0; i < 2; ++i) {
    if (newest.header().encrypted && older.header().key_slots[i] && !newest.header().key_slots[i]) {
      report.warn("old-key-remains", slot_name(older.slot()),
                  "the header before the newest still has the key that was replaced. Any write "
                  "with the new key removes it");
    }
  }
}

std::size_t sealed_files(const Generation& generation) {
  std::size_t count = 0;
  for (std::size_t i = 0; generation.table() && i < format::kFileIds; ++i) {
    const auto id = static_cast<format::FileId>(i);
    count += format::is_content(id) && generation.is_encrypted(id) ? 1U : 0U;
  }
  return count;
}

// What the key opens. Gives the generation that is the state: the newest, or the one before if the
// newest commit is torn.
base::Result<Generation*> unlock(storage::BlockDevice& device, Generation& newest,
                                 Generation* older, const volume::DatastoreKey& key,
                                 Report& report) {
  auto choice = volume::choose(device, newest, older, volume::fixed_key(key.clone()));
  if (choice) {
    for (auto& finding : choice->findings) {
      report.add(std::move(finding));
    }
    return choice->fell_back ? older : &newest;
  }
  if (choice.error().code == ErrorCode::kIo) {
    return base::fail(std::move(choice).error());
  }
  // Any other failure but these two is one of structure, which is told with the structure.
  if (choice.error().code == ErrorCode::kAuthentication) {
    TRY_ASSIGN(unlocking, newest.unlock(device, key));
    report.error(unlocking == volume::Unlocking::kNoSlotOpens ? "wrong-key" : "stale-key", "key",
                 choice.error().message);
    newest.lock();
  }
  return &newest;
}

// A store or a variable store in which the next write finds no room: nothing is wrong yet.
void examine_room(storage::BlockDevice& device, const Generation& state, Report& report) {
  constexpr std::uint64_t kMostVariableBytes = 131072;  // of file 1, as its readers take it
  constexpr std::uint64_t kRoomForAVariable = 4096;
  const auto& table = *state.table();
  if (!format::find_overlap(table)) {
    volume::Placement placement(format::capacity_blocks(device.size_bytes()), table, nullptr);
    if (!placement.place(1) || (state.header().encrypted && !placement.place(1))) {
      report.warn("full", "store",
                  "there is no room for the tables of another commit, so not even a file can be "
                  "deleted: grow it with `vmgs resize`");
    }
  }
  const auto& variables = table[format::FileId::kBiosNvram];
  if (variables && variables->valid_bytes + kRoomForAVariable > kMostVariableBytes) {
    report.warn("variables-full", format::describe(format::FileId::kBiosNvram),
                "has " + std::to_string(variables->valid_bytes) + " of at most " +
                    std::to_string(kMostVariableBytes) +
                    " bytes: an update of Secure Boot's databases will not fit. Take out what is "
                    "not needed with `vmgs uefi delete`");
  }
}

base::Result<void> examine_generations(storage::BlockDevice& device, Generation& newest,
                                       Generation* older, const volume::DatastoreKey* key,
                                       Report& report) {
  Generation* state = &newest;
  const bool encrypted = newest.header().encrypted;
  if (encrypted && key != nullptr) {
    TRY_ASSIGN(chosen, unlock(device, newest, older, *key, report));
    state = chosen;
  }
  examine_header(state->header(), state->slot(), report);
  if (older != nullptr && state == &newest) {
    examine_old_key(newest, *older, report);
  }
  TRY(examine_file_table(device, state->header(), report));
  if (!encrypted && key != nullptr) {
    report.error("not-encrypted", slot_name(state->slot()),
                 "a key was given, but the header says that the store is not encrypted: if it "
                 "ever was, somebody has changed it to look unprotected");
  }
  if (encrypted && key == nullptr) {
    report.note("locked", "store",
                "without its key, the contents of " + std::to_string(sealed_files(*state)) +
                    " encrypted files were not looked at, and nothing could be verified");
  }
  if (!state->table()) {
    if (!report.has_errors()) {  // as storage does that shows other bytes the second time
      report.error("bad-file-table", format::describe(format::FileId::kFileTable),
                   state->table().error().message);
    }
    return {};
  }
  if (state->unlocked()) {
    examine_extended_table(*state, report);
  } else {
    examine_unsealed_files(device, *state, report);
  }
  examine_known_files(device, *state, report);
  examine_room(device, *state, report);
  return {};
}

// The blocks that neither generation of a store uses.
std::vector<bool> free_blocks(const storage::BlockDevice& device, const Generation& newest,
                              const Generation* older) {
  std::vector<bool> free(format::capacity_blocks(device.size_bytes()), true);
  for (const auto* const generation : {&newest, older}) {
    if (generation == nullptr || !generation->table()) {
      continue;
    }
    for (const auto& entry : generation->table()->entries) {
      if (entry) {
        std::fill_n(free.begin() + entry->first_block, entry->allocated_blocks, false);
      }
    }
  }
  return free;
}

// Whether a table that was found in a free block is one of before the store was encrypted, and some
// block that a file had then is free still.
bool leads_to_free_plaintext(const Generation& old, const std::vector<bool>& free) {
  if (!is_sound(old)) {
    return false;
  }
  for (std::size_t i = 0; i < format::kFileIds; ++i) {
    const auto id = static_cast<format::FileId>(i);
    const auto& entry = (*old.table())[id];
    if (entry && entry->valid_bytes > 0 && format::is_content(id) &&
        !format::is_plaintext_by_role(id) &&
        std::any_of(free.begin() + entry->first_block, free.begin() + entry->end_block(),
                    [](bool is_free) { return is_free; })) {
      return true;
    }
  }
  return false;
}

// What shows that encrypting this store was cut off, or that nobody wiped what it replaced. Where
// the old tables are written over it cannot be known.
base::Result<void> examine_plaintext_left(storage::BlockDevice& device, const Generation& newest,
                                          const Generation* older, Report& report) {
  if (!newest.header().encrypted) {
    return {};
  }
  constexpr std::string_view kWhatToDo =
      ": `vmgs encrypt --new-key`, with the key that opens the store, writes over it";
  if (older != nullptr && !older->header().encrypted) {
    report.warn("plaintext-left", slot_name(older->slot()),
                "it leads to the state before the store was encrypted, in plaintext" +
                    std::string(kWhatToDo));
    return {};
  }
  const auto free = free_blocks(device, newest, older);
  const auto tables = tables_found(device);
  if (!tables) {
    return {};  // a bad sector in free space is nothing that this store needs
  }
  for (const auto block : *tables) {
    format::Header header;
    header.file_table_block = block;
    TRY_ASSIGN(old, Generation::read(device, 0, header));
    if (free[block] && leads_to_free_plaintext(old, free)) {
      report.warn("plaintext-left", "block " + std::to_string(block),
                  "a file table of before the store was encrypted is left there, so the plaintext "
                  "of its files may be left too" +
                      std::string(kWhatToDo));
      return {};
    }
  }
  return {};
}

// Two headers of which neither is known to be newer: each is examined for itself.
base::Result<void> examine_each(storage::BlockDevice& device, const volume::HeaderSlots& slots,
                                const volume::DatastoreKey* key, Examination& result) {
  for (std::size_t slot = 0; slot < slots.size(); ++slot) {
    if (slots[slot].header) {
      Report report("behind slot " + std::to_string(slot));
      TRY_ASSIGN(generation, Generation::read(device, slot, *slots[slot].header));
      TRY(examine_generations(device, generation, nullptr, key, report));
      auto findings = std::move(report).take();
      std::move(findings.begin(), findings.end(), std::back_inserter(result.findings));
    }
  }
  return {};
}

}  // namespace

bool Examination::clean() const {
  return std::none_of(findings.begin(), findings.end(), [](const volume::Finding& finding) {
    return finding.severity == volume::Severity::kError;
  });
}

base::Result<Examination> examine(storage::BlockDevice& device, format::HeaderSpacing spacing,
                                  const volume::DatastoreKey* key) {
  Report report;
  const auto slots = volume::read_header_slots(device, spacing);
  if (!slots && slots.error().code == ErrorCode::kIo) {
    return base::fail(slots.error());
  }
  if (!slots) {
    report.error(std::string(code_of_no_store(slots.error().code)), "store", slots.error().message);
    return Examination{std::move(report).take()};
  }
  TRY(examine_spacing(device, spacing, *slots, report));
  examine_slots(*slots, report);
  const auto order = volume::order_headers(*slots);
  if (!order) {
    const bool both_valid = (*slots)[0].header && (*slots)[1].header;
    report.error(both_valid ? "sequence-gap" : "no-valid-header", "headers",
                 order.error().message + ". Work on a copy");
    Examination result{std::move(report).take()};
    TRY(examine_each(device, *slots, key, result));
    return result;
  }
  TRY_ASSIGN(newest, Generation::read(device, order->newest, *(*slots)[order->newest].header));
  std::optional<Generation> older;
  if (order->older) {
    TRY_ASSIGN(read, Generation::read(device, *order->older, *(*slots)[*order->older].header));
    older = std::move(read);
  }
  TRY(examine_generations(device, newest, older ? &*older : nullptr, key, report));
  TRY(examine_plaintext_left(device, newest, older ? &*older : nullptr, report));
  return Examination{std::move(report).take()};
}

}  // namespace vmgs::repair
