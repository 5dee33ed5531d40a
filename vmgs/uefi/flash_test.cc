// SPDX-License-Identifier: Apache-2.0
#include "vmgs/uefi/flash.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/support/error_code.h"
#include "vmgs/base/cursor.h"

namespace vmgs::uefi {
namespace {

using base::ErrorCode;
using testing::HasSubstr;
using tests::support::error_code;

constexpr std::size_t kVolumeHeader = 72;
constexpr std::size_t kStoreHeader = 28;
constexpr std::size_t kFirst = kVolumeHeader + kStoreHeader;
constexpr std::size_t kImageBytes = 131072;
constexpr std::size_t kStoreBytes = 0xe000 - kVolumeHeader;

constexpr std::uint8_t kAdded = 0x3f;

// The image of OVMF's 2 MB build, with its headers as it writes them; the variables follow.
class ImageWriter {
 public:
  explicit ImageWriter(bool is_authenticated = true) : is_authenticated_(is_authenticated) {
    writer_.bytes(base::Bytes(16));
    hex("8d2bf1ff96768b4ca9852747075b4f50");
    writer_.u64_le(0x84000 > kImageBytes ? kImageBytes : 0x84000);
    hex("5f465648");
    writer_.u32_le(0xfeff);
    writer_.u16_le(kVolumeHeader);
    writer_.u16_le(0);  // the checksum
    hex("00000002");
    hex("20000000"
        "00100000"
        "00000000"
        "00000000");
    hex(is_authenticated ? "782cf3aa7b949a43a1802e144ec37792"
                         : "1636cfdd75326441 98b6fe85707ffe7d");
    writer_.u32_le(kStoreBytes);
    hex("5afe"
        "0000"
        "00000000");
  }

  ImageWriter& add(const std::string& name, base::ByteView data, std::uint8_t state = kAdded) {
    while ((writer_.size() - kFirst) % 4 != 0) {
      writer_.u8(0xff);
    }
    writer_.u16_le(0x55aa);
    writer_.u8(state);
    writer_.u8(0);
    writer_.u32_le(7);
    if (is_authenticated_) {
      writer_.u64_le(0);
      hex("ea07"
          "0b"
          "16"
          "0a"
          "1e"
          "3b"
          "00"
          "00000000"
          "0000"
          "00"
          "00");
      writer_.u32_le(0);
    }
    writer_.u32_le(static_cast<std::uint32_t>(2 * name.size() + 2));
    writer_.u32_le(static_cast<std::uint32_t>(data.size()));
    writer_.bytes(kGlobalVariable);
    for (const char each : name + '\0') {
      writer_.u16_le(static_cast<std::uint16_t>(each));
    }
    writer_.bytes(data);
    return *this;
  }

  [[nodiscard]] base::Bytes image() const {
    auto image = writer_.written();
    image.resize(kImageBytes, std::byte{0xff});
    return with_right_sum(std::move(image));
  }

  static base::Bytes with_right_sum(base::Bytes image) {
    std::uint32_t sum = 0;
    image[50] = image[51] = std::byte{0};
    for (std::size_t i = 0; i < kVolumeHeader; i += 2) {
      sum += std::to_integer<std::uint32_t>(image[i]) | std::to_integer<std::uint32_t>(image[i + 1])
                                                            << 8;
    }
    const auto checksum = static_cast<std::uint16_t>(0x10000 - (sum & 0xffff));
    image[50] = static_cast<std::byte>(checksum & 0xff);
    image[51] = static_cast<std::byte>(checksum >> 8);
    return image;
  }

 private:
  void hex(std::string digits) {
    digits.erase(std::remove(digits.begin(), digits.end(), ' '), digits.end());
    writer_.bytes(*base::from_hex(digits));
  }

  const bool is_authenticated_;
  base::Writer writer_;
};

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
