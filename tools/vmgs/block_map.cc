// SPDX-License-Identifier: Apache-2.0
#include "tools/vmgs/block_map.h"

#include <algorithm>
#include <array>
#include <iomanip>
#include <set>
#include <sstream>
#include <utility>

namespace tools::vmgs {

namespace format = ::vmgs::format;
namespace inspect = ::vmgs::inspect;
using format::FileId;
using inspect::BlockUse;
using inspect::Extent;

namespace {

// Which of several things in one cell is shown.
int weight(BlockUse use) {
  switch (use) {
    case BlockUse::kOverlap:
      return 7;
    case BlockUse::kHeaders:
      return 6;
    case BlockUse::kFileTable:
      return 5;
    case BlockUse::kSealedTable:
      return 4;
    case BlockUse::kFile:
      return 3;
    case BlockUse::kSpare:
      return 2;
    case BlockUse::kReclaimable:
      return 1;
    case BlockUse::kFree:
      return 0;
  }
  return 0;
}

// SGR parameters (ECMA-48); files take turns in six colours.
std::string colour_of(const Extent& extent, char symbol) {
  constexpr std::array kFileColours = {"32", "36", "33", "35", "34", "92"};
  switch (extent.use) {
    case BlockUse::kOverlap:
      return "1;37;41";
    case BlockUse::kHeaders:
    case BlockUse::kFileTable:
    case BlockUse::kSealedTable:
      return "1;37";
    case BlockUse::kFile:
      return kFileColours.at(static_cast<unsigned char>(symbol) % kFileColours.size());
    case BlockUse::kSpare:
      return "31";
    case BlockUse::kReclaimable:
    case BlockUse::kFree:
      return "2";
  }
  return "0";
}

std::string painted(const std::string& text, const std::string& colour, bool on) {
  return on ? "\x1b[" + colour + "m" + text + "\x1b[0m" : text;
}

// A row as it is without colours.
std::string drawn_row(const BlockMap& map, std::size_t row, const Symbols& symbols) {
  std::string drawn;
  const auto end = std::min<std::size_t>(map.cells.size(), row + kCellsInRow);
  for (std::size_t i = row; i < end; ++i) {
    drawn += symbol(map.cells[i].extent, symbols);
  }
  return drawn;
}

std::string painted_row(const BlockMap& map, std::size_t row, const std::string& drawn,
                        bool colour) {
  std::string text;
  for (std::size_t i = 0; i < drawn.size();) {
    const auto own_colour = colour_of(map.cells[row + i].extent, drawn[i]);
    std::size_t end = i + 1;
    while (end < drawn.size() && colour_of(map.cells[row + end].extent, drawn[end]) == own_colour) {
      ++end;
    }
    text += painted(drawn.substr(i, end - i), own_colour, colour);
    i = end;
  }
  return text;
}

// Rows like the one before are counted and not drawn, so that a large empty store fits a screen.
void add_rows(std::ostringstream& text, const BlockMap& map, const Symbols& symbols, bool colour) {
  std::string last;
  std::size_t left_out = 0;
  const auto say_left_out = [&] {
    if (left_out != 0) {
      text << std::setw(10) << "*"
           << "  " << left_out << " more like this\n";
      left_out = 0;
    }
  };
  for (std::size_t row = 0; row < map.cells.size(); row += kCellsInRow) {
    const auto drawn = drawn_row(map, row, symbols);
    if (drawn == last) {
      ++left_out;
      continue;
    }
    say_left_out();
    last = drawn;
    text << std::setw(10) << map.cells[row].first_block << "  "
         << painted_row(map, row, drawn, colour) << "\n";
  }
  say_left_out();
}

void add_legend(std::ostringstream& text, const BlockMap& map, const Symbols& symbols,
                bool colour) {
  for (const auto& extent : map.extents) {
    const char drawn = symbol(extent, symbols);
    text << "  " << painted(std::string(1, drawn), colour_of(extent, drawn), colour) << "  "
         << std::setw(10) << extent.first_block << std::setw(8) << extent.blocks << "  "
         << what_is(extent) << "\n";
  }
}

}  // namespace

BlockMap draw(std::string title, const inspect::Ownership& ownership) {
  BlockMap map{.title = std::move(title), .cells = {}, .extents = ownership.extents};
  for (const auto& extent : map.extents) {
    map.capacity_blocks += extent.blocks;
  }
  map.blocks_per_cell =
      std::max<std::uint64_t>(1, (map.capacity_blocks + kMostCells - 1) / kMostCells);
  std::size_t at = 0;
  for (std::uint64_t first = 0; first < map.capacity_blocks; first += map.blocks_per_cell) {
    const auto end = first + map.blocks_per_cell;
    MapCell cell{first, map.extents[at]};
    for (auto i = at; i < map.extents.size() && map.extents[i].first_block < end; ++i) {
      at = i;
      if (weight(map.extents[i].use) > weight(cell.extent.use)) {
        cell.extent = map.extents[i];
      }
    }
    if (map.extents[at].first_block + map.extents[at].blocks <= end &&
        at + 1 < map.extents.size()) {
      ++at;
    }
    map.cells.push_back(cell);
  }
  return map;
}

Symbols symbols_of(const std::vector<BlockMap>& maps) {
  constexpr std::string_view kLetters =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
  static_assert(kLetters.size() == format::kFileIds - 2);
  std::set<FileId> files;
  for (const auto& map : maps) {
    for (const auto& extent : map.extents) {
      for (const auto& id : {extent.owner, extent.also, extent.previously}) {
        if (id && format::is_content(*id)) {
          files.insert(*id);
        }
      }
    }
  }
  Symbols symbols;
  for (const auto id : files) {
    symbols.emplace(id, kLetters[symbols.size()]);
  }
  return symbols;
}

char symbol(const Extent& extent, const Symbols& symbols) {
  switch (extent.use) {
    case BlockUse::kHeaders:
      return '#';
    case BlockUse::kFileTable:
      return '=';
    case BlockUse::kSealedTable:
      return '%';
    case BlockUse::kFile: {
      const auto found = symbols.find(*extent.owner);
      return found == symbols.end() ? '?' : found->second;
    }
    case BlockUse::kSpare:
      return '+';
    case BlockUse::kOverlap:
      return '!';
    case BlockUse::kReclaimable:
      return '-';
    case BlockUse::kFree:
      return '.';
  }
  return '?';
}

std::string what_is(const Extent& extent) {
  const auto before =
      extent.previously ? ", before: " + format::describe(*extent.previously) : std::string();
  switch (extent.use) {
    case BlockUse::kHeaders:
      return "the two headers";
    case BlockUse::kFile:
    case BlockUse::kFileTable:
    case BlockUse::kSealedTable:
      return format::describe(*extent.owner) +
             (extent.previously == extent.owner ? ", in the generation before too" : before);
    case BlockUse::kSpare:
      return "allocated to " + format::describe(*extent.owner) + ", behind its end" + before;
    case BlockUse::kOverlap:
      return "CLAIMED BY BOTH " + format::describe(*extent.owner) + " and " +
             format::describe(*extent.also) + before;
    case BlockUse::kReclaimable:
      return "free" + before;
    case BlockUse::kFree:
      return "free";
  }
  return {};
}

std::string to_text(const std::vector<BlockMap>& maps, bool colour) {
  const auto symbols = symbols_of(maps);
  std::ostringstream text;
  for (const auto& map : maps) {
    text << "\n" << map.title;
    if (map.blocks_per_cell > 1) {
      text << " (each character stands for " << map.blocks_per_cell << " blocks)";
    }
    text << "\n";
    add_rows(text, map, symbols, colour);
    text << "\n      FROM BLOCK  BLOCKS  WHAT\n";
    add_legend(text, map, symbols, colour);
  }
  return text.str();
}

}  // namespace tools::vmgs
