// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdlib>

#include "keybroker/protocol/launch_document.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace keybroker::protocol;
  const auto bytes = std::as_bytes(std::span(data, size));
  const auto document = decode_launch_document(bytes);
  if (document && !std::ranges::equal(*encode(*document), bytes)) {
    std::abort();  // A document has one encoding.
  }
  return 0;
}
