// SPDX-License-Identifier: Apache-2.0
#include <iomanip>
#include <sstream>

#include "tools/vmgs/block_map.h"

namespace tools::vmgs {

namespace format = ::vmgs::format;
namespace inspect = ::vmgs::inspect;
using inspect::BlockUse;
using inspect::Extent;

namespace {

constexpr std::uint64_t kCellPixels = 12;
constexpr std::uint64_t kBlockBytes = format::kBlockBytes;

constexpr std::string_view kStyle = R"(
  body { font: 14px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem;
         color: #1b1f24; background: #fff; }
  h1 { font-size: 1.3rem; overflow-wrap: anywhere; } h2 { font-size: 1.05rem; margin-top: 2rem; }
  p { margin: .2rem 0; } svg { width: 100%; height: auto; max-width: 48rem; background: #f2f3f5; }
  svg rect { stroke: #fff; stroke-width: .6; }
  table { border-collapse: collapse; margin-top: 1rem; }
  th, td { text-align: left; padding: .15rem .8rem .15rem 0; border-bottom: 1px solid #d9dce0; }
  td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
  i { display: inline-block; width: .9rem; height: .9rem; margin-right: .4rem; vertical-align: -2px; }
  .headers { fill: #24292f; background: #24292f; } .file-table { fill: #57606a; background: #57606a; }
  .sealed-table { fill: #8c959f; background: #8c959f; } .overlap { fill: #cf222e; background: #cf222e; }
  .spare { fill: #f0a36b; background: #f0a36b; } .free { fill: #eceef1; background: #eceef1; }
  .reclaimable { fill: #cdd3da; background: #cdd3da; }
  @media (prefers-color-scheme: dark) {
    body { color: #e6edf3; background: #0d1117; } svg { background: #161b22; }
    svg rect { stroke: #0d1117; } th, td { border-color: #30363d; }
    .headers { fill: #f0f3f6; background: #f0f3f6; } .free { fill: #1c222a; background: #1c222a; }
    .reclaimable { fill: #39424d; background: #39424d; }
  }
)";

std::string escaped(std::string_view text) {
  std::string safe;
  for (const char each : text) {
    switch (each) {
      case '&':
        safe += "&amp;";
        break;
      case '<':
        safe += "&lt;";
        break;
      case '>':
        safe += "&gt;";
        break;
      case '"':
        safe += "&quot;";
        break;
      default:
        // Control characters have no place in a page, and a path may hold any.
        safe += static_cast<unsigned char>(each) < 0x20 ? '?' : each;
    }
  }
  return safe;
}

// Files differ in hue, far apart for neighbours in the list.
std::string paint(const Extent& extent, const Symbols& symbols) {
  if (extent.use != BlockUse::kFile) {
    return " class=\"" + std::string(inspect::name(extent.use)) + "\"";
  }
  const auto found = symbols.find(*extent.owner);
  const auto nth = std::distance(symbols.begin(), found);
  const auto hue = std::to_string(nth * 137 % 360);
  const auto colour = "hsl(" + hue + " 55% 55%)";
  return " style=\"fill:" + colour + ";background:" + colour + "\"";
}

std::string tooltip(const Extent& extent) {
  const auto last = extent.first_block + extent.blocks - 1;
  const auto range = extent.blocks == 1 ? "block " + std::to_string(extent.first_block)
                                        : "blocks " + std::to_string(extent.first_block) + " to " +
                                              std::to_string(last);
  return range + ", byte " + std::to_string(extent.first_block * kBlockBytes) + ": " +
         what_is(extent);
}

// Equal neighbours of one row become one rectangle, so a large store is a small page.
void add_drawing(std::ostringstream& page, const BlockMap& map, const Symbols& symbols) {
  const auto rows = (map.cells.size() + kCellsInRow - 1) / kCellsInRow;
  page << "<svg role=\"img\" aria-label=\"" << escaped(map.title) << "\" viewBox=\"0 0 "
       << kCellsInRow * kCellPixels << " " << rows * kCellPixels
       << "\" xmlns=\"http://www.w3.org/2000/svg\">\n";
  for (std::size_t i = 0; i < map.cells.size();) {
    std::size_t end = i + 1;
    while (end < map.cells.size() && end % kCellsInRow != 0 &&
           map.cells[end].extent == map.cells[i].extent) {
      ++end;
    }
    page << "<rect x=\"" << i % kCellsInRow * kCellPixels << "\" y=\""
         << i / kCellsInRow * kCellPixels << "\" width=\"" << (end - i) * kCellPixels
         << "\" height=\"" << kCellPixels << "\"" << paint(map.cells[i].extent, symbols)
         << "><title>" << escaped(tooltip(map.cells[i].extent)) << "</title></rect>\n";
    i = end;
  }
  page << "</svg>\n";
}

void add_table(std::ostringstream& page, const BlockMap& map, const Symbols& symbols) {
  page << "<table><tr><th class=\"number\">From block</th><th class=\"number\">Blocks</th>"
          "<th class=\"number\">From byte</th><th>What</th></tr>\n";
  for (const auto& extent : map.extents) {
    page << "<tr><td class=\"number\">" << extent.first_block << "</td><td class=\"number\">"
         << extent.blocks << "</td><td class=\"number\">" << extent.first_block * kBlockBytes
         << "</td><td><i" << paint(extent, symbols) << "></i>" << escaped(what_is(extent))
         << "</td></tr>\n";
  }
  page << "</table>\n";
}

}  // namespace

std::string to_page(const PageHeading& heading, const std::vector<BlockMap>& maps) {
  const auto symbols = symbols_of(maps);
  std::ostringstream page;
  page << "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
          "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>"
       << escaped(heading.title) << "</title>\n<style>" << kStyle << "</style></head><body>\n<h1>"
       << escaped(heading.title) << "</h1>\n";
  for (const auto& line : heading.lines) {
    page << "<p>" << escaped(line) << "</p>\n";
  }
  for (const auto& map : maps) {
    page << "<h2>" << escaped(map.title) << "</h2>\n";
    if (map.blocks_per_cell > 1) {
      page << "<p>Each place stands for " << map.blocks_per_cell << " blocks.</p>\n";
    }
    add_drawing(page, map, symbols);
    add_table(page, map, symbols);
  }
  page << "</body></html>\n";
  return page.str();
}

}  // namespace tools::vmgs
