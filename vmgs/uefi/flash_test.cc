// SPDX-License-Identifier: Apache-2.0
#include "vmgs/uefi/flash.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/support/error_code.h"
#include "vmgs/base/cursor.h"
#include "vmgs/uefi/flash_image_writer.h"

namespace vmgs::uefi {
namespace {

using base::ErrorCode;
using testing::HasSubstr;
using tests::support::error_code;

const base::Bytes kData = *base::from_hex("0102030405");

// An image in which one byte is another.
base::Bytes spoilt(std::size_t offset, std::uint8_t value) {
  auto image = ImageWriter().add("a", kData).image();
  image[offset] = std::byte{value};
  return offset < kVolumeHeader ? ImageWriter::with_right_sum(std::move(image)) : image;
}

TEST(UefiFlashImageTest, HoldsVariablesWithAllThatIsKnownOfThem) {
  const auto flash =
      decode_flash(ImageWriter().add("BootOrder", kData).add("b", {}).add("c", kData).image());

  ASSERT_TRUE(flash) << flash.error().message;
  EXPECT_TRUE(flash->is_authenticated);
  EXPECT_EQ(flash->store_bytes, kStoreBytes);
  ASSERT_EQ(flash->variables.size(), 3u);
  const auto& first = flash->variables[0];
  EXPECT_EQ(first.name, u"BootOrder");
  EXPECT_EQ(first.vendor, kGlobalVariable);
  EXPECT_EQ(first.attributes, 7u);
  EXPECT_EQ(first.data, kData);
  EXPECT_EQ(first.state, State::kCurrent);
  EXPECT_EQ(first.timestamp, (Timestamp{2026, 11, 22, 10, 30, 59}));
  EXPECT_TRUE(flash->variables[1].data.empty());
  EXPECT_EQ(flash->variables[2].name, u"c");
  // 60 + 20 + 5 and 3 of padding, 60 + 4, 60 + 4 + 5 and 3 of padding.
  EXPECT_EQ(flash->used_bytes, kStoreHeader + 88 + 64 + 72);
}

TEST(UefiFlashImageTest, HoldsVariablesOfBuildsWithoutSecureBoot) {
  const auto flash = decode_flash(ImageWriter(false).add("a", kData).add("b", kData).image());

  ASSERT_TRUE(flash) << flash.error().message;
  EXPECT_FALSE(flash->is_authenticated);
  ASSERT_EQ(flash->variables.size(), 2u);
  EXPECT_EQ(flash->variables[1].name, u"b");
  EXPECT_EQ(flash->variables[1].timestamp, Timestamp{});
}

TEST(UefiFlashImageTest, IsEmptyWhereFirmwareHasMadeAStoreAndNoVariable) {
  const auto flash = decode_flash(ImageWriter().image());

  ASSERT_TRUE(flash);
  EXPECT_TRUE(flash->variables.empty());
}

TEST(UefiFlashImageTest, HasNoStoreWhereItIsBlank) {
  EXPECT_EQ(error_code(decode_flash(base::Bytes(kImageBytes, std::byte{0xff}))),
            ErrorCode::kNotFound);
}

TEST(UefiFlashImageTest, TellsTheStatesOfVariablesApart) {
  const auto flash = decode_flash(ImageWriter()
                                      .add("current", kData, 0x3f)
                                      .add("replaced", kData, 0x3e)
                                      .add("deleted", kData, 0x3d)
                                      .add("deleted", kData, 0x3c)
                                      .add("half", kData, 0x7f)
                                      .add("after", kData, 0x3f)
                                      .image());

  ASSERT_TRUE(flash) << flash.error().message;
  std::vector<State> states;
  for (const auto& variable : flash->variables) {
    states.push_back(variable.state);
  }
  EXPECT_EQ(states, (std::vector{State::kCurrent, State::kBeingReplaced, State::kDeleted,
                                 State::kDeleted, State::kIncomplete, State::kCurrent}));
}

// Firmware writes the header, and marks it valid after that: the sizes in it may be anything.
TEST(UefiFlashImageTest, PassesOverAHeaderThatPowerFailedIn) {
  auto image = ImageWriter().add("", {}, 0xff).image();
  std::fill_n(image.begin() + kFirst + 36, 8, std::byte{0xff});

  const auto flash = decode_flash(image);

  ASSERT_TRUE(flash) << flash.error().message;
  ASSERT_EQ(flash->variables.size(), 1u);
  EXPECT_EQ(flash->variables[0].state, State::kIncomplete);
}

TEST(UefiFlashImageTest, RefusesWhatIsNoFirmwareVolumeForVariables) {
  for (const auto& [offset, what] : {std::pair<std::size_t, const char*>{40, "firmware volume"},
                                     {16, "not for variables"},
                                     {35, "does not fit"},
                                     {kVolumeHeader, "kind that nobody knows"},
                                     {kVolumeHeader + 18, "does not fit"},
                                     {kVolumeHeader + 20, "not formatted"},
                                     {kVolumeHeader + 21, "not formatted"}}) {
    const auto flash = decode_flash(spoilt(offset, 0x77));
    ASSERT_FALSE(flash) << offset;
    EXPECT_EQ(flash.error().code, ErrorCode::kCorrupt);
    EXPECT_THAT(flash.error().message, HasSubstr(what));
  }
}

TEST(UefiFlashImageTest, RefusesAVolumeWithAWrongChecksum) {
  auto image = ImageWriter().image();
  image[50] ^= std::byte{1};
  EXPECT_EQ(error_code(decode_flash(image)), ErrorCode::kCorrupt);
}

TEST(UefiFlashImageTest, RefusesAHeaderThatIsShorterThanAnyOrLongerThanTheVolume) {
  EXPECT_EQ(error_code(decode_flash(spoilt(48, 54))), ErrorCode::kCorrupt);
  EXPECT_EQ(error_code(decode_flash(spoilt(48, 73))), ErrorCode::kCorrupt);
  EXPECT_EQ(error_code(decode_flash(base::Bytes(20))), ErrorCode::kCorrupt);
}

TEST(UefiFlashImageTest, RefusesAVariableThatReachesBeyondTheStore) {
  // The highest byte of the name's size, of the data's, and one that only the data has too many.
  EXPECT_EQ(error_code(decode_flash(spoilt(kFirst + 39, 0xff))), ErrorCode::kCorrupt);
  EXPECT_EQ(error_code(decode_flash(spoilt(kFirst + 43, 0xff))), ErrorCode::kCorrupt);
  EXPECT_EQ(error_code(decode_flash(spoilt(kFirst + 41, 0xe0))), ErrorCode::kCorrupt);
}

TEST(UefiFlashImageTest, RefusesANameWithoutAnEnd) {
  EXPECT_EQ(error_code(decode_flash(spoilt(kFirst + 62, 'x'))), ErrorCode::kCorrupt);
}

TEST(UefiFlashImageTest, ReadsAStoreThatIsFullToItsLastByte) {
  const std::size_t room = kStoreBytes - kStoreHeader - 60 - 4;
  const auto flash = decode_flash(ImageWriter().add("a", base::Bytes(room)).image());

  ASSERT_TRUE(flash) << flash.error().message;
  EXPECT_EQ(flash->used_bytes, kStoreBytes);
  EXPECT_FALSE(decode_flash(ImageWriter().add("a", base::Bytes(room + 1)).image()));
}

}  // namespace
}  // namespace vmgs::uefi
