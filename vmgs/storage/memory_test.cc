// SPDX-License-Identifier: Apache-2.0
#include "vmgs/storage/memory.h"

#include <gtest/gtest.h>

#include <array>

#include "tests/support/error_code.h"

namespace vmgs::storage {
namespace {

using ::tests::support::error_code;

TEST(MemoryDeviceTest, ReadsWhatWasWritten) {
  MemoryDevice device(1024);

  ASSERT_TRUE(device.write(1020, base::bytes_of("abcd")));

  std::array<std::byte, 8> out{};
  ASSERT_TRUE(device.read(1016, out));
  EXPECT_EQ(base::to_hex(out), "0000000061626364");
}

TEST(MemoryDeviceTest, RefusesWhatLiesOutside) {
  MemoryDevice device(1024);
  std::array<std::byte, 8> out{};

  for (const std::uint64_t offset : {1017ULL, 1025ULL, ~0ULL, ~0ULL - 7}) {
    EXPECT_EQ(error_code(device.read(offset, out)), base::ErrorCode::kInvalidArgument) << offset;
    EXPECT_EQ(error_code(device.write(offset, out)), base::ErrorCode::kInvalidArgument) << offset;
  }
  EXPECT_TRUE(device.read(1016, out));
  EXPECT_TRUE(device.read(1024, std::span<std::byte>()));
}

}  // namespace
}  // namespace vmgs::storage
