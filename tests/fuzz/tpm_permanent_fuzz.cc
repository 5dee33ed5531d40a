// SPDX-License-Identifier: Apache-2.0
#include <cstdlib>

#include "vmgs/format/tpm_permanent.h"

namespace {

// Every view lies inside the input.
void expect_inside(base::ByteView whole, base::ByteView part) {
  if (!part.empty() &&
      (part.data() < whole.data() || part.data() + part.size() > whole.data() + whole.size())) {
    std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > 1 << 16) {
    return 0;
  }
  const auto state = std::as_bytes(std::span(data, size));
  if (const auto tpm = vmgs::format::decode_tpm_permanent(state)) {
    for (const auto& index : tpm->orderly_indices) {
      expect_inside(state, index.content);
    }
    if (tpm->nv) {
      for (const auto& index : tpm->nv->indices) {
        expect_inside(state, index.content);
      }
      for (const auto& each : tpm->nv->objects) {
        expect_inside(state, each.object.name);
      }
    }
  }
  if (const auto tpm = vmgs::format::decode_tpm_volatile(state)) {
    for (const auto& bank : tpm->pcrs) {
      for (const auto& value : bank.values) {
        expect_inside(state, value);
      }
    }
  }
  return 0;
}
