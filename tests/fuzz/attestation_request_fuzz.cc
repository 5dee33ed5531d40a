// SPDX-License-Identifier: Apache-2.0
#include <cstdint>
#include <string_view>

#include "keybroker/broker/attestation_request.h"

// A guest's request for a token, and the runtime data in it.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  (void)keybroker::broker::decode_attestation_request(text);
  (void)keybroker::broker::decode_runtime_data(text);
  return 0;
}
