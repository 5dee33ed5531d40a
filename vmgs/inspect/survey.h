// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "vmgs/base/result.h"
#include "vmgs/format/blocks.h"
#include "vmgs/format/file_table.h"
#include "vmgs/storage/block_device.h"
#include "vmgs/volume/datastore_key.h"
#include "vmgs/volume/finding.h"
#include "vmgs/volume/generation.h"
#include "vmgs/volume/headers.h"

namespace vmgs::inspect {

// One header slot and what it leads to.
struct Side {
  volume::HeaderSlot header;
  std::optional<volume::Generation> generation;  // there if the header is valid

  // Of the generation's file table, each entry that is right by itself, even where the table as a
  // whole is refused; an entry that is not is counted.
  std::array<std::optional<format::FileEntry>, format::kFileIds> entries;
  std::size_t bad_entries = 0;

  // The files' entries refer to this block: the table's own.
  [[nodiscard]] std::uint32_t table_block() const {
    return generation ? generation->header().file_table_block : 0;
  }
};

// What the key that was given, or none, does to the store.
enum class KeyFit {
  kNone,          // none was given
  kNotEncrypted,  // one was given, and the header says that there is nothing to open
  kOpens,
  kWrong,     // opens no key slot: another store's, or one from before the last change of key
  kStale,     // opens a slot, but not the sealed table
  kUnusable,  // what it would open is damaged
};

// name() is a stable lower-case word, for JSON: "none", "not-encrypted", "opens", "wrong", "stale",
// "unusable".
std::string_view name(KeyFit fit);

// Survey is all of a store that can be had, both generations and whatever is wrong with them, for
// whoever shows or explains it. It refuses nothing but what is no store at all.
struct Survey {
  std::uint64_t capacity_blocks = 0;
  std::array<Side, 2> sides;

  // The slot of the newest valid header, and of the one before it. Both are absent where neither is
  // known to be newer, which `disorder` then explains.
  std::optional<std::size_t> newest;
  std::optional<std::size_t> older;
  std::optional<base::Error> disorder;

  KeyFit key = KeyFit::kNone;
  std::optional<base::Error> key_error;  // why it does not open

  // The slot of the generation that is the state: the newest, or after a torn commit the older.
  std::optional<std::size_t> state_slot;
  bool fell_back = false;
  bool edited_without_key = false;
  std::vector<volume::FileFailure> failing_files;  // of the state; of a locked one, in plaintext
  std::vector<volume::Finding> findings;           // of the choice between generations

  // state() is the side that is the state; null where none is.
  [[nodiscard]] const Side* state() const { return state_slot ? &sides.at(*state_slot) : nullptr; }

  // previous() is the other side, if its header is valid.
  [[nodiscard]] const Side* previous() const {
    return state_slot && sides.at(1 - *state_slot).generation ? &sides.at(1 - *state_slot)
                                                              : nullptr;
  }

  [[nodiscard]] bool encrypted() const {
    return state() != nullptr && state()->generation->header().encrypted;
  }

  [[nodiscard]] bool unlocked() const {
    return state() != nullptr && state()->generation->unlocked();
  }
};

// survey() reads the headers and the tables behind them and, with a key, opens what it opens, by
// the rules of volume::choose(). Nothing is written. kNotFound for a blank device, kDenied for a
// version-1 store, kCorrupt for a device of less than two blocks, kIo.
base::Result<Survey> survey(storage::BlockDevice& device, format::HeaderSpacing spacing,
                            const volume::DatastoreKey* key);

}  // namespace vmgs::inspect
