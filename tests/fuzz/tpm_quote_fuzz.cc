// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdlib>

#include "keybroker/evidence/tpm_quote.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace keybroker::evidence;
  constexpr std::size_t kMostBytes = 4096;
  const auto bytes = std::as_bytes(std::span(data, std::min(size, kMostBytes)));
  const auto read = read_tpm_quote(bytes);
  if (read.quote.has_value() == read.finding.has_value()) {
    std::abort();
  }
  static_cast<void>(decode_tpm_signature(bytes));
  return 0;
}
