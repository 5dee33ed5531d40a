// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdlib>

#include "keybroker/protocol/release_claims.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace keybroker::protocol;
  const auto bytes = std::as_bytes(std::span(data, size));
  const auto claims = decode_release_claims(bytes);
  if (claims && !std::ranges::equal(*encode(*claims), bytes)) {
    std::abort();  // Claims have one encoding.
  }
  return 0;
}
