// SPDX-License-Identifier: Apache-2.0
#include <cstdlib>
#include <string_view>

#include "keybroker/protocol/extended_claims.h"
#include "keybroker/protocol/runtime_claims.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace keybroker::protocol;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  // Claims of others have members that we do not write; what we write reads the same again.
  if (const auto claims = decode_runtime_claims(text)) {
    const auto written = encode(*claims);
    if (written && *decode_runtime_claims(*written) != *claims) {
      std::abort();
    }
  }
  if (const auto claims = decode_extended_claims(text)) {
    const auto written = encode(*claims);
    if (written && *decode_extended_claims(*written) != *claims) {
      std::abort();
    }
  }
  return 0;
}
