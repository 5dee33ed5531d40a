// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdlib>

#include "vmgs/format/sealed_keys.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace vmgs::format;
  const auto bytes = std::as_bytes(std::span(data, size));
  const auto entries = decode_sealed_keys(bytes);
  if (entries && !std::ranges::equal(*encode_sealed_keys(*entries), bytes)) {
    std::abort();
  }
  return 0;
}
