// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdlib>

#include "keybroker/crypto/sgx_extension.h"

// A PCK's extension, or a whole certificate that has one. It has one form only.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace keybroker::crypto;
  const auto bytes = std::as_bytes(std::span(data, size));
  if (const auto extension = decode_sgx_extension(bytes)) {
    if (!std::ranges::equal(encode(*extension), bytes)) {
      std::abort();
    }
  }
  return 0;
}
