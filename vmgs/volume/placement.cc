// SPDX-License-Identifier: Apache-2.0
#include "vmgs/volume/placement.h"

#include <algorithm>
#include <optional>
#include <string>

#include "vmgs/format/blocks.h"

namespace vmgs::volume {

Placement::Placement(std::uint64_t capacity_blocks, const format::FileTable& committed,
                     const format::FileTable* previous)
    : capacity_blocks_(capacity_blocks) {
  const auto ranges_of = [](const format::FileTable& table, std::vector<Range>& ranges) {
    for (const auto& entry : table.entries) {
      if (entry) {
        ranges.push_back({entry->first_block, entry->end_block()});
      }
    }
  };
  ranges_of(committed, busy_);
  if (previous != nullptr) {
    ranges_of(*previous, previous_);
  }
}

std::vector<Placement::Range> Placement::holes(bool spare_previous) const {
  auto taken = busy_;
  if (spare_previous) {
    taken.insert(taken.end(), previous_.begin(), previous_.end());
  }
  std::sort(taken.begin(), taken.end(),
            [](const Range& a, const Range& b) { return a.first < b.first; });
  std::vector<Range> found;
  std::uint64_t free_from = format::kFirstUsableBlock;
  for (const auto& range : taken) {
    // A store that is about to shrink has files beyond what may be given away.
    const auto end = std::min(range.first, capacity_blocks_);
    if (end > free_from) {
      found.push_back({free_from, end});
    }
    free_from = std::max(free_from, range.end);
  }
  if (free_from < capacity_blocks_) {
    found.push_back({free_from, capacity_blocks_});
  }
  return found;
}

base::Result<std::uint32_t> Placement::place(std::uint64_t blocks) {
  for (const bool spare_previous : {true, false}) {
    std::optional<Range> best;
    for (const auto& hole : holes(spare_previous)) {
      const auto size = hole.end - hole.first;
      if (size >= blocks && (!best || size < best->end - best->first)) {
        best = hole;
      }
    }
    if (best) {
      busy_.push_back({best->first, best->first + blocks});
      // A block number fits 32 bits: the capacity is at most 2^44 bytes of 2^12 each.
      return static_cast<std::uint32_t>(best->first);
    }
  }
  return base::fail(base::ErrorCode::kDenied,
                    "no room: " + std::to_string(blocks) +
                        " contiguous blocks are needed beside the state as it is now; enlarge the "
                        "store or delete a file");
}

}  // namespace vmgs::volume
