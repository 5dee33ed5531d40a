// SPDX-License-Identifier: Apache-2.0
#include <cstdlib>

#include "vmgs/format/record.h"

// The input is a RECORD file. What decodes must encode to the same bytes.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace vmgs::format;
  const auto bytes = std::as_bytes(std::span(data, size));
  const auto record = decode_record(bytes);
  if (record && encode_record(*record) != base::copy_of(bytes)) {
    std::abort();
  }
  return 0;
}
