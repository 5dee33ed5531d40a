// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "vmgs/inspect/ownership.h"

namespace tools::vmgs {

// One place of a drawing: the most telling thing about the blocks that it stands for.
struct MapCell {
  std::uint64_t first_block = 0;
  ::vmgs::inspect::Extent extent;  // the whole one that it was taken from
};

// One drawing of a store's blocks, from the view of one generation.
struct BlockMap {
  std::string title;
  std::uint64_t capacity_blocks = 0;
  std::uint64_t blocks_per_cell = 1;
  std::vector<MapCell> cells;
  std::vector<::vmgs::inspect::Extent> extents;
};

// The largest drawing; a store of more blocks has several in one cell.
inline constexpr std::uint64_t kMostCells = 4096;
inline constexpr std::uint64_t kCellsInRow = 64;

BlockMap draw(std::string title, const ::vmgs::inspect::Ownership& ownership);

// A letter or digit for each file, the same in all drawings that are made with it.
using Symbols = std::map<::vmgs::format::FileId, char>;
Symbols symbols_of(const std::vector<BlockMap>& maps);

// symbol() is the one character that stands for a cell.
char symbol(const ::vmgs::inspect::Extent& extent, const Symbols& symbols);

// what_is() is "TPM_NVRAM (3)", "free, before: TPM_NVRAM (3)" and the like.
std::string what_is(const ::vmgs::inspect::Extent& extent);

// to_text() is the drawings for a terminal, with a legend.
std::string to_text(const std::vector<BlockMap>& maps, bool colour);

// What stands above the drawings of a page.
struct PageHeading {
  std::string title;
  std::vector<std::string> lines;
};

// to_page() is the same as one HTML page with SVG drawings, which loads nothing from anywhere.
std::string to_page(const PageHeading& heading, const std::vector<BlockMap>& maps);

}  // namespace tools::vmgs
