// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdlib>

#include "keybroker/evidence/td_quote.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace keybroker::evidence;
  const auto bytes = std::as_bytes(std::span(data, size));
  const auto quote = decode_td_quote(bytes);
  if (!quote) {
    return 0;
  }
  const auto again = encode(*quote);
  const auto padding = bytes.subspan(std::min(again.size(), size));
  if (!std::ranges::equal(again, bytes.first(size - padding.size())) ||
      !base::is_all_zero(padding)) {
    std::abort();
  }
  return 0;
}
