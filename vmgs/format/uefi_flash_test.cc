// SPDX-License-Identifier: Apache-2.0
#include "vmgs/format/uefi_flash.h"

#include <gtest/gtest.h>

namespace vmgs::format {
namespace {

TEST(UefiFlashTest, HasTheSizesOfOvmfAndNoOddOne) {
  EXPECT_TRUE(expect_flash_size(131072));
  EXPECT_TRUE(expect_flash_size(540672));
  EXPECT_TRUE(expect_flash_size(1048576));
  for (const std::uint64_t bytes : {0, 4095, 540673, 1052672}) {
    EXPECT_FALSE(expect_flash_size(bytes)) << bytes;
  }
  EXPECT_FALSE(expect_flash_size(std::uint64_t{1} << 40));
}

}  // namespace
}  // namespace vmgs::format
