// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdlib>

#include "vmgs/format/file_table.h"

// The input is a file table, padded with zeros, of a store of 1024 blocks whose table is at
// block 2. What decodes lies inside the store, and decodes again to the same when encoded.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace vmgs::format;
  constexpr std::uint64_t kCapacity = 1024;
  Block block{};
  const auto input = std::as_bytes(std::span(data, std::min<std::size_t>(size, block.size())));
  std::copy(input.begin(), input.end(), block.begin());
  const auto table = decode_file_table(block, 2, kCapacity);
  if (!table) {
    return 0;
  }
  for (const auto& entry : table->entries) {
    if (entry && (entry->first_block < 2 || entry->end_block() > kCapacity ||
                  entry->valid_bytes > std::uint64_t{entry->allocated_blocks} * kBlockBytes)) {
      std::abort();
    }
  }
  (void)find_overlap(*table);
  const auto again = decode_file_table(encode_file_table(*table), 2, kCapacity);
  if (!again || again->entries != table->entries) {
    std::abort();
  }
  return 0;
}
