// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdlib>

#include "vmgs/format/header.h"

// The input is a header without its checksum, which is put right, since no mutation would ever hit
// it. What decodes must encode to the same bytes, unless it has something in reserved fields.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace vmgs::format;
  if (size != kHeaderBytes) {
    return 0;
  }
  auto raw = base::load<HeaderLayout>(std::as_bytes(std::span(data, size)).first<kHeaderBytes>());
  (void)decode_header(base::view(raw));
  raw.checksum = header_checksum(base::view(raw));
  const auto header = decode_header(base::view(raw));
  if (!header || header->reserved_nonzero) {
    return 0;
  }
  // An unused key slot may have a nonce and a tag that nobody looks at.
  for (std::size_t i = 0; i < 2; ++i) {
    if (!header->key_slots[i]) {
      raw.key_slots[i] = {};
    }
  }
  raw.checksum = header_checksum(base::view(raw));
  const auto again = encode_header(*header);
  if (!std::ranges::equal(base::view(raw), base::view(again))) {
    std::abort();
  }
  return 0;
}
