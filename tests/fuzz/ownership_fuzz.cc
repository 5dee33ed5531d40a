// SPDX-License-Identifier: Apache-2.0
#include <cstdlib>
#include <span>

#include "vmgs/format/ownership.h"

// The input is an OWNERSHIP file. What decodes must encode to the same bytes.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace vmgs::format;
  const auto bytes = std::as_bytes(std::span(data, size));
  const auto ownership = decode_ownership(bytes);
  if (ownership && encode_ownership(*ownership) != base::copy_of(bytes)) {
    std::abort();
  }
  return 0;
}
