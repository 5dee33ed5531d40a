// SPDX-License-Identifier: Apache-2.0
#include "vmgs/inspect/ownership.h"

#include <algorithm>

namespace vmgs::inspect {

namespace {

using format::FileId;

// Blocks [first, end) that one entry claims; from `spare` on its content does not reach.
struct Claim {
  FileId id;
  std::uint64_t first;
  std::uint64_t spare;
  std::uint64_t end;
};

bool is_within(const Claim& claim, std::uint64_t block) {
  return claim.first <= block && block < claim.end;
}

std::vector<Claim> claims_of(const Side& side, std::uint64_t capacity) {
  std::vector<Claim> claims;
  if (side.generation && side.table_block() < capacity) {
    claims.push_back({FileId::kFileTable, side.table_block(), std::uint64_t{side.table_block()} + 1,
                      std::uint64_t{side.table_block()} + 1});
  }
  for (std::size_t i = 1; i < side.entries.size(); ++i) {  // entry 0 is what the header says
    const auto& entry = side.entries.at(i);
    if (entry) {
      const std::uint64_t used =
          std::min<std::uint64_t>(format::blocks_for(entry->valid_bytes), entry->allocated_blocks);
      claims.push_back({static_cast<FileId>(i), entry->first_block, entry->first_block + used,
                        std::uint64_t{entry->first_block} + entry->allocated_blocks});
    }
  }
  return claims;
}

BlockUse use_of(FileId id) {
  switch (id) {
    case FileId::kFileTable:
      return BlockUse::kFileTable;
    case FileId::kExtendedFileTable:
      return BlockUse::kSealedTable;
    default:
      return BlockUse::kFile;
  }
}

// What the one block is; a run of them, between two bounds of claims, is the same throughout.
Extent judge(std::uint64_t block, const std::vector<Claim>& state,
             const std::vector<Claim>& previous) {
  Extent extent{.first_block = block};
  for (const auto& claim : previous) {
    if (is_within(claim, block) && !extent.previously) {
      extent.previously = claim.id;
    }
  }
  if (block < format::kFirstUsableBlock) {
    extent.use = BlockUse::kHeaders;
    return extent;
  }
  extent.use = extent.previously ? BlockUse::kReclaimable : BlockUse::kFree;
  for (const auto& claim : state) {
    if (!is_within(claim, block)) {
      continue;
    }
    if (extent.owner) {
      extent.use = BlockUse::kOverlap;
      extent.also = claim.id;
      return extent;
    }
    extent.owner = claim.id;
    extent.use = block >= claim.spare ? BlockUse::kSpare : use_of(claim.id);
  }
  return extent;
}

bool is_same(Extent a, const Extent& b) {
  a.first_block = b.first_block;
  a.blocks = b.blocks;
  return a == b;
}

}  // namespace

std::string_view name(BlockUse use) {
  switch (use) {
    case BlockUse::kHeaders:
      return "headers";
    case BlockUse::kFileTable:
      return "file-table";
    case BlockUse::kSealedTable:
      return "sealed-table";
    case BlockUse::kFile:
      return "file";
    case BlockUse::kSpare:
      return "spare";
    case BlockUse::kOverlap:
      return "overlap";
    case BlockUse::kReclaimable:
      return "reclaimable";
    case BlockUse::kFree:
      return "free";
  }
  return {};
}

std::uint64_t Ownership::blocks(BlockUse use) const {
  std::uint64_t count = 0;
  for (const auto& extent : extents) {
    count += extent.use == use ? extent.blocks : 0;
  }
  return count;
}

std::uint64_t Ownership::largest_hole() const {
  std::uint64_t largest = 0;
  std::uint64_t run = 0;
  for (const auto& extent : extents) {
    const bool is_hole = extent.use == BlockUse::kFree || extent.use == BlockUse::kReclaimable;
    run = is_hole ? run + extent.blocks : 0;
    largest = std::max(largest, run);
  }
  return largest;
}

Ownership own(std::uint64_t capacity_blocks, const Side& state, const Side* previous) {
  const auto now = claims_of(state, capacity_blocks);
  const auto before =
      previous == nullptr ? std::vector<Claim>() : claims_of(*previous, capacity_blocks);
  std::vector<std::uint64_t> bounds = {0, format::kFirstUsableBlock, capacity_blocks};
  for (const auto* claims : {&now, &before}) {
    for (const auto& claim : *claims) {
      bounds.insert(bounds.end(), {claim.first, claim.spare, claim.end});
    }
  }
  for (auto& bound : bounds) {
    bound = std::min(bound, capacity_blocks);
  }
  std::sort(bounds.begin(), bounds.end());
  bounds.erase(std::unique(bounds.begin(), bounds.end()), bounds.end());

  Ownership ownership;
  auto& extents = ownership.extents;
  for (std::size_t i = 0; i + 1 < bounds.size(); ++i) {
    auto extent = judge(bounds[i], now, before);
    extent.blocks = bounds[i + 1] - bounds[i];
    if (!extents.empty() && is_same(extents.back(), extent)) {
      extents.back().blocks += extent.blocks;
    } else {
      extents.push_back(extent);
    }
  }
  return ownership;
}

}  // namespace vmgs::inspect
