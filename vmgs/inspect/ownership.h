// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "vmgs/format/file_id.h"
#include "vmgs/inspect/survey.h"

namespace vmgs::inspect {

// What a block is to the generation that is the state.
enum class BlockUse {
  kHeaders,      // one of the first two
  kFileTable,    // that the header names
  kSealedTable,  // the extended file table
  kFile,
  kSpare,        // a file's, behind its last byte's block: allocated and never read
  kOverlap,      // claimed by two
  kReclaimable,  // free, and still what the generation before holds: the next commits use it last
  kFree,
};

// name() is a stable lower-case word, for JSON: "headers", "file-table", "sealed-table", "file",
// "spare", "overlap", "reclaimable", "free".
std::string_view name(BlockUse use);

// A run of blocks that are one thing to both generations.
struct Extent {
  std::uint64_t first_block = 0;
  std::uint64_t blocks = 0;
  BlockUse use = BlockUse::kFree;
  std::optional<format::FileId> owner = std::nullopt;  // in the state
  std::optional<format::FileId> also = std::nullopt;   // of an overlap, the second that claims it
  std::optional<format::FileId> previously = std::nullopt;  // in the generation before

  friend bool operator==(const Extent&, const Extent&) = default;
};

// Ownership says of every block whose it is: extents in order, without a gap, from block 0 to the
// store's end.
struct Ownership {
  std::vector<Extent> extents;

  // blocks() is how many are of one use.
  [[nodiscard]] std::uint64_t blocks(BlockUse use) const;

  // largest_hole() is how many contiguous blocks a commit could get: free or reclaimable ones.
  [[nodiscard]] std::uint64_t largest_hole() const;
};

// own() sorts the blocks of a store of `capacity_blocks` by what `state` and, if not null,
// `previous` claim. Entries that break the format claim nothing.
Ownership own(std::uint64_t capacity_blocks, const Side& state, const Side* previous);

}  // namespace vmgs::inspect
