// SPDX-License-Identifier: Apache-2.0
#include "tests/support/memory_scan.h"

#include <algorithm>
#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <string>
#include <vector>

namespace tests::support {

namespace {

// What a sanitizer maps for itself is larger, and mostly not there.
constexpr std::uintptr_t kMaxRegionBytes = std::uintptr_t{1} << 28;

struct Region {
  std::uintptr_t begin;
  std::uintptr_t end;
};

std::vector<Region> writable_regions() {
  std::vector<Region> regions;
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    Region region{};
    char write = '-';
    if (std::sscanf(line.c_str(), "%" SCNxPTR "-%" SCNxPTR " r%c", &region.begin, &region.end,
                    &write) == 3 &&
        write == 'w' && region.end - region.begin <= kMaxRegionBytes) {
      regions.push_back(region);
    }
  }
  return regions;
}

// Freed memory is looked at as well, which a sanitizer takes for a fault.
__attribute__((no_sanitize("address", "thread"))) std::size_t copies_in(Region region,
                                                                        const std::byte* complement,
                                                                        std::size_t size) {
  std::size_t copies = 0;
  const auto* byte = reinterpret_cast<const volatile unsigned char*>(region.begin);
  const std::size_t places = region.end - region.begin;
  for (std::size_t at = 0; at + size <= places; ++at) {
    std::size_t same = 0;
    while (same < size &&
           (byte[at + same] ^ 0xffU) == static_cast<unsigned char>(complement[same])) {
      ++same;
    }
    copies += same == size ? 1 : 0;
  }
  return copies;
}

}  // namespace

std::size_t copies_in_memory(base::ByteView complement) {
  std::size_t copies = 0;
  for (const auto& region : writable_regions()) {
    copies += copies_in(region, complement.data(), complement.size());
  }
  return copies;
}

void write_complement(base::ByteView complement, std::span<std::byte> to) {
  std::transform(complement.begin(), complement.end(), to.begin(),
                 [](std::byte byte) { return ~byte; });
}

}  // namespace tests::support
