// SPDX-License-Identifier: Apache-2.0
#include "vmgs/format/uefi_flash.h"

#include <string>

namespace vmgs::format {

base::Result<void> expect_flash_size(std::uint64_t bytes) {
  if (bytes == 0 || bytes > kMaxFlashBytes || bytes % kFlashSizeUnitBytes != 0) {
    return base::fail(base::ErrorCode::kInvalidArgument,
                      std::to_string(bytes) +
                          " bytes are no size of a variable flash: a multiple of 4096 up to 1 MiB. "
                          "OVMF's builds of 2 MB have 131072, those of 4 MB 540672");
  }
  return {};
}

}  // namespace vmgs::format
