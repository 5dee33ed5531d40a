// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdlib>

#include "keybroker/hsm/software_record.h"
#include "keybroker/hsm/wrapped_key.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace keybroker::hsm;
  const auto bytes = std::as_bytes(std::span(data, size));
  const auto wrapped = decode_wrapped_key(bytes);
  if (wrapped && !std::ranges::equal(encode(*wrapped), bytes)) {
    std::abort();
  }
  const auto record = decode_software_record(bytes);
  if (record && !std::ranges::equal(encode(*record), bytes)) {
    std::abort();
  }
  return 0;
}
