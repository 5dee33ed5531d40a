// SPDX-License-Identifier: Apache-2.0
#include "vmgs/storage/overlay.h"

#include <gtest/gtest.h>

#include "tests/support/error_code.h"
#include "vmgs/storage/memory.h"

namespace vmgs::storage {
namespace {

constexpr std::uint64_t kBytes = 3 * 4096 + 512;

TEST(OverlayDeviceTest, KeepsWhatIsWrittenAndLeavesTheDeviceBelowAlone) {
  base::Bytes content(kBytes);
  for (std::size_t i = 0; i < content.size(); ++i) {
    content[i] = static_cast<std::byte>(i * 7);
  }
  auto below = std::make_unique<MemoryDevice>(content);
  const auto& kept = below->contents();
  OverlayDevice device(std::move(below));
  auto expected = content;
  const auto change = [&](std::uint64_t offset, std::size_t count, std::uint8_t value) {
    const base::Bytes bytes(count, std::byte{value});
    ASSERT_TRUE(device.write(offset, bytes));
    std::ranges::copy(bytes, expected.begin() + static_cast<std::ptrdiff_t>(offset));
  };

  change(10, 20, 1);
  change(4090, 4100, 2);
  change(kBytes - 1, 1, 3);
  change(4091, 1, 4);

  base::Bytes read(kBytes);
  ASSERT_TRUE(device.read(0, read));
  EXPECT_EQ(read, expected);
  base::Bytes part(5000);
  ASSERT_TRUE(device.read(100, part));
  EXPECT_TRUE(std::ranges::equal(part, base::ByteView(expected).subspan(100, 5000)));
  EXPECT_EQ(kept, content);
}

TEST(OverlayDeviceTest, RefusesWhatLiesPastTheEnd) {
  OverlayDevice device(std::make_unique<MemoryDevice>(kBytes));
  base::Bytes two(2);

  EXPECT_EQ(tests::support::error_code(device.write(kBytes - 1, two)),
            base::ErrorCode::kInvalidArgument);
  EXPECT_EQ(tests::support::error_code(device.read(kBytes - 1, two)),
            base::ErrorCode::kInvalidArgument);
}

}  // namespace
}  // namespace vmgs::storage
