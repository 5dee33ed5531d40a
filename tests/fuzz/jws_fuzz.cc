// SPDX-License-Identifier: Apache-2.0
#include <cstdlib>
#include <string_view>

#include "keybroker/crypto/jws.h"
#include "tests/support/wrapping_vectors.h"

// A token that verifies can be read without verifying, too.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace keybroker::crypto;
  static const auto key =
      *PrivateKey::from_pkcs8(*base::from_hex(tests::support::wrapping_vectors::kP384));
  const std::string_view token(reinterpret_cast<const char*>(data), size);
  const bool read = unverified_key_id(token).has_value();
  if (verify_jws(token, key.public_key(), "JWT") && !read) {
    std::abort();
  }
  return 0;
}
