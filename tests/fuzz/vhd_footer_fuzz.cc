// SPDX-License-Identifier: Apache-2.0
#include <cstdlib>

#include "vmgs/format/vhd_footer.h"

// The input is a file's last bytes; what stands in front of the footer counts only by its length.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace vmgs::format;
  const auto file = std::as_bytes(std::span(data, size));
  if (size < kVhdFooterBytes || size > 4 * kVhdFooterBytes) {
    return 0;
  }
  const auto footer = decode_vhd_footer(file.last<kVhdFooterBytes>(), size);
  if (!footer) {
    return 0;
  }
  const auto again = resize_vhd_footer(*footer, footer->disk_bytes());
  if (!again || !decode_vhd_footer(base::view(again->raw), size)) {
    std::abort();
  }
  return 0;
}
