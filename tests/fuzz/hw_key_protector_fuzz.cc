// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdlib>

#include "vmgs/format/hw_key_protector.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace vmgs::format;
  const auto bytes = std::as_bytes(std::span(data, size));
  const auto protector = decode_hw_key_protector(bytes);
  if (protector && !std::ranges::equal(encode(*protector), bytes)) {
    std::abort();
  }
  return 0;
}
