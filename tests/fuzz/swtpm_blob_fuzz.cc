// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdlib>

#include "vmgs/format/swtpm_blob.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace vmgs::format;
  const auto blob = decode_swtpm_blob(std::as_bytes(std::span(data, size)));
  if (!blob) {
    return 0;
  }
  // Others may add records that we skip, so the state must come back, not the same bytes.
  const auto again = encode_swtpm_blob(blob->use, blob->state);
  const auto decoded = decode_swtpm_blob(again.expose());
  if (!decoded || decoded->use != blob->use || !std::ranges::equal(decoded->state, blob->state)) {
    std::abort();
  }
  return 0;
}
