// SPDX-License-Identifier: Apache-2.0
#include <cstdint>
#include <cstdlib>
#include <span>

#include "keybroker/crypto/rsa_aes_wrap.h"
#include "tests/support/wrapping_vectors.h"

// What unwraps is shorter than what held it, by the RSA block and the wrapping's eight bytes.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace keybroker::crypto;
  static const auto key =
      *PrivateKey::from_pkcs8(*base::from_hex(tests::support::wrapping_vectors::kRsa2048));
  const auto wrapped = std::as_bytes(std::span(data, size));
  const auto plain = unwrap_rsa_aes(key, Hash::kSha384, wrapped);
  if (plain && plain->expose().size() + 256 + 8 > wrapped.size()) {
    std::abort();
  }
  return 0;
}
