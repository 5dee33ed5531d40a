// SPDX-License-Identifier: Apache-2.0
#include "vmgs/storage/overlay.h"

#include <gmock/gmock.h>

#include "tests/support/error_code.h"
#include "vmgs/storage/memory.h"

namespace vmgs::storage {
namespace {

using tests::support::error_code;

base::Bytes numbered(std::size_t size) {
  base::Bytes bytes(size);
  for (std::size_t i = 0; i < size; ++i) {
    bytes[i] = static_cast<std::byte>(i % 251);
  }
  return bytes;
}

base::Bytes all_of(BlockDevice& device) {
  base::Bytes bytes(device.size_bytes());
  EXPECT_TRUE(device.read(0, bytes));
  return bytes;
}

TEST(OverlayTest, ShowsWhatWasWrittenAndLeavesTheDeviceAlone) {
  const auto original = numbered(10'000);
  MemoryDevice device(original);
  Overlay overlay(device);
  auto expected = original;

  const base::Bytes change(5000, std::byte{0xEE});
  ASSERT_TRUE(overlay.write(3000, change));
  std::ranges::copy(change, expected.begin() + 3000);

  EXPECT_EQ(all_of(overlay), expected);
  EXPECT_EQ(device.contents(), original);
}

TEST(OverlayTest, MovesItsEnd) {
  MemoryDevice device(numbered(10'000));
  Overlay overlay(device);
  for (const std::size_t cut : {std::size_t{5000}, std::size_t{4096}}) {
    ASSERT_TRUE(overlay.resize(cut));
    ASSERT_TRUE(overlay.resize(12'000));
    auto expected = numbered(cut);
    expected.resize(12'000);
    EXPECT_EQ(all_of(overlay), expected) << cut;
  }
  base::Bytes one(1);
  EXPECT_EQ(error_code(overlay.read(12'000, one)), base::ErrorCode::kInvalidArgument);
  EXPECT_EQ(error_code(overlay.write(12'000, one)), base::ErrorCode::kInvalidArgument);
}

TEST(OverlayTest, NotesWhatWasDoneInOrder) {
  MemoryDevice device(numbered(10'000));
  Overlay overlay(device);
  ASSERT_TRUE(overlay.write(1, numbered(3)));
  ASSERT_TRUE(overlay.flush());
  ASSERT_TRUE(overlay.resize(20'000));

  const auto operations = overlay.take_operations();

  ASSERT_EQ(operations.size(), 3U);
  EXPECT_EQ(operations[0].kind, Operation::Kind::kWrite);
  EXPECT_EQ(operations[0].offset, 1U);
  EXPECT_EQ(operations[0].bytes, numbered(3));
  EXPECT_EQ(operations[1].kind, Operation::Kind::kFlush);
  EXPECT_EQ(operations[2].kind, Operation::Kind::kResize);
  EXPECT_EQ(operations[2].offset, 20'000U);
  EXPECT_TRUE(overlay.take_operations().empty());
}

TEST(OverlayTest, IsTakenBackByAssigningACopy) {
  MemoryDevice device(numbered(10'000));
  Overlay overlay(device);
  const auto before = overlay;
  ASSERT_TRUE(overlay.write(1, base::Bytes(5000)));
  ASSERT_TRUE(overlay.resize(100));

  overlay = before;

  EXPECT_EQ(all_of(overlay), numbered(10'000));
  EXPECT_TRUE(overlay.take_operations().empty());
}

}  // namespace
}  // namespace vmgs::storage
