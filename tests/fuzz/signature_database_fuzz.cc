// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdlib>

#include "keybroker/evidence/signature_database.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace keybroker::evidence;
  constexpr std::size_t kMostBytes = 64 * 1024;
  const auto bytes = std::as_bytes(std::span(data, std::min(size, kMostBytes)));
  if (const auto variable = decode_efi_variable(bytes);
      variable && !std::ranges::equal(encode(*variable), bytes)) {
    std::abort();
  }
  const auto entries = decode_signature_database(bytes);
  if (entries && *decode_signature_database(encode_signature_database(*entries)) != *entries) {
    std::abort();
  }
  return 0;
}
