// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdlib>

#include "keybroker/crypto/signed_data.h"

// The signed data comes first and is its own trusted certificate: nothing of that may verify, since
// no seed signs these bytes.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::size_t kMostBytes = 32 * 1024;
  const auto bytes = std::as_bytes(std::span(data, std::min(size, kMostBytes)));
  const auto content = base::bytes_of("what is signed");
  if (keybroker::crypto::verify_signed_data(bytes, content, {base::copy_of(bytes)})) {
    std::abort();
  }
  return 0;
}
