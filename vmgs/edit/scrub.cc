// SPDX-License-Identifier: Apache-2.0
#include "vmgs/edit/scrub.h"

#include <algorithm>
#include <vector>

#include "vmgs/volume/generation.h"
#include "vmgs/volume/headers.h"

namespace vmgs::edit {

namespace {

// How many bytes of each block hold something.
using Used = std::vector<std::uint32_t>;

void note(Used& used, const format::FileTable& table) {
  for (const auto& entry : table.entries) {
    if (!entry) {
      continue;
    }
    auto rest = entry->valid_bytes;
    for (auto block = entry->first_block; block < entry->end_block(); ++block) {
      const auto here = std::min<std::uint64_t>(rest, format::kBlockBytes);
      used[block] = std::max(used[block], static_cast<std::uint32_t>(here));
      rest -= here;
    }
  }
}

}  // namespace

base::Result<std::uint64_t> scrub(storage::BlockDevice& device, format::HeaderSpacing spacing) {
  TRY_ASSIGN(slots, volume::read_header_slots(device, spacing));
  TRY_ASSIGN(order, volume::order_headers(slots));
  Used used(static_cast<std::size_t>(format::capacity_blocks(device.size_bytes())));
  for (const auto slot : {std::optional(order.newest), order.older}) {
    if (!slot) {
      continue;
    }
    TRY_ASSIGN(generation, volume::Generation::read(device, *slot, *slots[*slot].header));
    if (!generation.table()) {
      return base::fail(generation.table().error());
    }
    note(used, *generation.table());
  }
  std::uint64_t free_blocks = 0;
  const base::Bytes zeros(format::kBlockBytes);
  for (std::size_t block = format::kFirstUsableBlock; block < used.size(); ++block) {
    free_blocks += used[block] == 0 ? 1U : 0U;
    const auto rest = base::ByteView(zeros).subspan(used[block]);
    if (!rest.empty()) {
      TRY(device.write(std::uint64_t{block} * format::kBlockBytes + used[block], rest));
    }
  }
  TRY(device.flush());
  return free_blocks;
}

}  // namespace vmgs::edit
