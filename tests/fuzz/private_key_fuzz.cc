// SPDX-License-Identifier: Apache-2.0
#include <cstdint>
#include <cstdlib>
#include <span>

#include "keybroker/crypto/private_key.h"

// A key that is read is written in a form that is read again, as the same key.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace keybroker::crypto;
  const auto key = PrivateKey::from_pkcs8(std::as_bytes(std::span(data, size)));
  if (!key) {
    return 0;
  }
  const auto written = key->to_pkcs8();
  const auto again = written ? PrivateKey::from_pkcs8(written->expose())
                             : base::Result<PrivateKey>(base::fail(written.error()));
  if (!again || again->public_key().spki() != key->public_key().spki()) {
    std::abort();
  }
  return 0;
}
