// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdlib>

#include "vmgs/format/key_protector.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace vmgs::format;
  auto bytes = base::copy_of(std::as_bytes(std::span(data, size)));
  const auto protector = decode_key_protector(bytes, DekWrapping::kAesKeyWrap);
  if (!protector) {
    return 0;
  }
  if (protector->gsp[0].bytes().size() + protector->gsp[1].bytes().size() > 1024) {
    std::abort();
  }
  bytes.resize(sizeof(KeyProtectorLayout));
  if (encode(*protector) != bytes) {
    std::abort();
  }
  return 0;
}
