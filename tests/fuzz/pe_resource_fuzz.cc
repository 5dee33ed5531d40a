// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdlib>

#include "vmgs/format/pe_resource.h"

// What is found lies inside the image.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::size_t kMostBytes = 64 * 1024;
  const auto bytes = std::as_bytes(std::span(data, std::min(size, kMostBytes)));
  const auto found = vmgs::format::find_pe_resource(bytes, "VMFW", 13510);
  if (found && (found->size() > bytes.size() || found->data() < bytes.data() ||
                found->data() + found->size() > bytes.data() + bytes.size())) {
    std::abort();
  }
  return 0;
}
