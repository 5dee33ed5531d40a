// SPDX-License-Identifier: Apache-2.0
#include <cstdlib>

#include "vmgs/format/tpm_nv_memory.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > 1 << 16) {
    return 0;
  }
  const auto state = std::as_bytes(std::span(data, size));
  const auto indices = vmgs::format::decode_tpm_nv_indices(state);
  if (!indices) {
    return 0;
  }
  for (const auto& index : *indices) {
    // Every view lies inside the input.
    if (!index.content.empty() &&
        (index.content.data() < state.data() ||
         index.content.data() + index.content.size() > state.data() + state.size())) {
      std::abort();
    }
  }
  return 0;
}
