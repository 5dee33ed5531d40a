// SPDX-License-Identifier: Apache-2.0
#include <boost/json/parse.hpp>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "keybroker/crypto/jwk.h"

// A JWK that is read is written as one that is read again, with the same thumbprint.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace keybroker::crypto;
  boost::json::error_code error;
  const auto value =
      boost::json::parse(std::string_view(reinterpret_cast<const char*>(data), size), error);
  if (error || !value.is_object()) {
    return 0;
  }
  const auto key = decode_jwk(value.get_object());
  if (!key) {
    return 0;
  }
  const auto again = decode_jwk(encode_jwk(*key));
  if (!again || jwk_thumbprint(*again) != jwk_thumbprint(*key)) {
    std::abort();
  }
  return 0;
}
