// SPDX-License-Identifier: Apache-2.0
#include "vmgs/storage/fixed_vhd.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/support/error_code.h"
#include "vmgs/storage/memory.h"

namespace vmgs::storage {
namespace {

using ::tests::support::error_code;
constexpr std::uint64_t kDiskBytes = 64 * 1024;

// A VHD file made by create(), as bytes.
base::Bytes made_vhd() {
  auto file = std::make_unique<MemoryDevice>(kDiskBytes + format::kVhdFooterBytes);
  const auto* memory = file.get();
  auto disk = FixedVhdDevice::create(std::move(file));
  EXPECT_TRUE(disk);
  return memory->contents();
}

TEST(FixedVhdDeviceTest, HidesTheFooter) {
  const auto disk = FixedVhdDevice::open(std::make_unique<MemoryDevice>(made_vhd()));

  ASSERT_TRUE(disk);
  EXPECT_EQ((*disk)->size_bytes(), kDiskBytes);
  std::array<std::byte, 2> two{};
  EXPECT_TRUE((*disk)->write(kDiskBytes - 2, two));
  EXPECT_EQ(error_code((*disk)->write(kDiskBytes - 1, two)), base::ErrorCode::kInvalidArgument);
  EXPECT_EQ(error_code((*disk)->read(kDiskBytes - 1, two)), base::ErrorCode::kInvalidArgument);
}

TEST(FixedVhdDeviceTest, HidesWhatLiesBetweenDiskAndFooter) {
  auto bytes = made_vhd();
  bytes.insert(bytes.begin() + kDiskBytes, 512, std::byte{0xEE});

  const auto disk = FixedVhdDevice::open(std::make_unique<MemoryDevice>(std::move(bytes)));

  ASSERT_TRUE(disk);
  EXPECT_EQ((*disk)->size_bytes(), kDiskBytes);
}

TEST(FixedVhdDeviceTest, PassesReadsAndWritesOn) {
  auto file = std::make_unique<MemoryDevice>(made_vhd());
  const auto* memory = file.get();
  const auto disk = FixedVhdDevice::open(std::move(file));
  ASSERT_TRUE(disk);

  ASSERT_TRUE((*disk)->write(4096, base::bytes_of("guest state")));
  ASSERT_TRUE((*disk)->flush());

  EXPECT_TRUE(std::equal(memory->contents().begin() + 4096, memory->contents().begin() + 4107,
                         base::bytes_of("guest state").begin()));
  base::Bytes back(11);
  ASSERT_TRUE((*disk)->read(4096, back));
  EXPECT_TRUE(std::ranges::equal(back, base::bytes_of("guest state")));
}

TEST(FixedVhdDeviceTest, GivesEachNewDiskAnIdOfItsOwn) {
  const auto one = FixedVhdDevice::open(std::make_unique<MemoryDevice>(made_vhd()));
  const auto two = FixedVhdDevice::open(std::make_unique<MemoryDevice>(made_vhd()));

  ASSERT_TRUE(one && two);
  EXPECT_FALSE(base::is_all_zero((*one)->footer().raw.unique_id));
  EXPECT_NE((*one)->footer().raw.unique_id, (*two)->footer().raw.unique_id);
}

TEST(FixedVhdDeviceTest, RefusesAFileWithoutRoomForAFooter) {
  EXPECT_EQ(error_code(FixedVhdDevice::open(std::make_unique<MemoryDevice>(511))),
            base::ErrorCode::kCorrupt);
  EXPECT_EQ(error_code(FixedVhdDevice::create(std::make_unique<MemoryDevice>(511))),
            base::ErrorCode::kInvalidArgument);
  EXPECT_EQ(error_code(FixedVhdDevice::create(std::make_unique<MemoryDevice>(1025))),
            base::ErrorCode::kInvalidArgument);
}

TEST(FixedVhdDeviceTest, RefusesADamagedFooter) {
  auto bytes = made_vhd();
  bytes[kDiskBytes + 70] ^= std::byte{1};

  EXPECT_EQ(error_code(FixedVhdDevice::open(std::make_unique<MemoryDevice>(std::move(bytes)))),
            base::ErrorCode::kCorrupt);
}

}  // namespace
}  // namespace vmgs::storage
