// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "vmgs/base/result.h"

namespace vmgs::format {

// UEFI_FLASH (51) is the image of the flash in which a VM's firmware keeps its variables, byte for
// byte as the firmware sees it.

// Three images of the largest size have room in a store of the default size: the one that is
// stored, the one before, and the next.
inline constexpr std::uint64_t kMaxFlashBytes = 1024 * 1024;
inline constexpr std::uint64_t kFlashSizeUnitBytes = 4096;

// What OVMF's builds of 4 MB have; those of 2 MB have 128 KiB.
inline constexpr std::uint64_t kDefaultFlashBytes = 528 * 1024;

// expect_flash_size() is kInvalidArgument for what is no size of a variable flash.
base::Result<void> expect_flash_size(std::uint64_t bytes);

}  // namespace vmgs::format
