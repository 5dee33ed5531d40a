// SPDX-License-Identifier: Apache-2.0
#include <cstdlib>

#include "keybroker/crypto/sgx_extension.h"

// A PCK's extension. Members may stand in any order, so it need not come back as the same bytes,
// but it comes back as the same extension.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace keybroker::crypto;
  const auto bytes = std::as_bytes(std::span(data, size));
  if (const auto extension = decode_sgx_extension(bytes)) {
    const auto again = decode_sgx_extension(encode(*extension));
    if (!again || !(*again == *extension)) {
      std::abort();
    }
  }
  return 0;
}
