// SPDX-License-Identifier: Apache-2.0
#include <cstdint>
#include <span>

#include "keybroker/store/checkpoint.h"

namespace store = keybroker::store;

// An auditor's copy of a checkpoint. What decodes encodes again to the same bytes.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  const auto checkpoint = store::decode_checkpoint(bytes, {});
  if (checkpoint && store::signed_bytes(*checkpoint) != base::copy_of(bytes)) {
    __builtin_trap();
  }
  return 0;
}
