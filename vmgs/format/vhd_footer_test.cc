// SPDX-License-Identifier: Apache-2.0
#include "vmgs/format/vhd_footer.h"

#include <gmock/gmock.h>

#include <cstring>

#include "tests/support/error_code.h"

namespace vmgs::format {
namespace {

using ::testing::HasSubstr;
using ::tests::support::error_code;

constexpr std::uint64_t kDiskBytes = 4 * 1024 * 1024;
constexpr std::uint64_t kFileBytes = kDiskBytes + kVhdFooterBytes;

// A footer that decodes. Each test spoils one thing about it.
VhdFooterLayout valid_footer() { return make_vhd_footer(kDiskBytes, {})->raw; }

// with_checksum() makes the checksum right again after a field was changed.
VhdFooterLayout with_checksum(VhdFooterLayout raw) {
  raw.checksum = 0;
  std::uint32_t sum = 0;
  for (const auto byte : base::view(raw)) {
    sum += std::to_integer<std::uint32_t>(byte);
  }
  raw.checksum = ~sum;
  return raw;
}

base::Error refusal(const VhdFooterLayout& raw, std::uint64_t file_bytes = kFileBytes) {
  const auto footer = decode_vhd_footer(base::view(raw), file_bytes);
  EXPECT_FALSE(footer);
  return footer ? base::Error{} : footer.error();
}

TEST(VhdFooterTest, HasTheKnownChecksumForFourMebibytesAndAZeroId) {
  EXPECT_EQ(valid_footer().checksum.value(), 0xFFFFF41BU);
}

TEST(VhdFooterTest, WritesTheFieldsOfTheDeployedTools) {
  std::array<std::byte, 16> id{};
  id.fill(std::byte{0x5A});

  const auto raw = make_vhd_footer(kDiskBytes, id)->raw;

  std::array<std::byte, 512> expected{};
  const auto put = [&expected](std::size_t offset, std::initializer_list<int> bytes) {
    for (const int byte : bytes) {
      expected[offset++] = static_cast<std::byte>(byte);
    }
  };
  std::memcpy(expected.data(), "conectix", 8);
  put(8, {0, 0, 0, 2, 0, 1, 0, 0});
  put(16, {0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF});
  put(32, {0, 0x0A, 0, 0});
  put(40, {0, 0, 0, 0, 0, 0x40, 0, 0, 0, 0, 0, 0, 0, 0x40, 0, 0});
  put(60, {0, 0, 0, 2, 0xFF, 0xFF, 0xEE, 0x7B});
  std::ranges::fill(std::span(expected).subspan(68, 16), std::byte{0x5A});
  EXPECT_TRUE(std::ranges::equal(base::view(raw), expected));
}

TEST(VhdFooterTest, ReadsBackWhatItWrote) {
  const auto footer = decode_vhd_footer(base::view(valid_footer()), kFileBytes);

  ASSERT_TRUE(footer);
  EXPECT_EQ(footer->disk_bytes(), kDiskBytes);
}

TEST(VhdFooterTest, KeepsWhatOtherMakersWriteWhenResized) {
  auto raw = valid_footer();
  raw.time_stamp = 0x2A3B4C5D;
  raw.geometry = 0x00780411;
  raw.saved_state = std::byte{1};
  raw.reserved[426] = std::byte{0x77};
  raw = with_checksum(raw);
  const auto footer = decode_vhd_footer(base::view(raw), kFileBytes);
  ASSERT_TRUE(footer);

  const auto resized = resize_vhd_footer(*footer, 2 * kDiskBytes);

  ASSERT_TRUE(resized);
  EXPECT_EQ(resized->disk_bytes(), 2 * kDiskBytes);
  EXPECT_EQ(resized->raw.original_bytes.value(), 2 * kDiskBytes);
  EXPECT_TRUE(decode_vhd_footer(base::view(resized->raw), 2 * kDiskBytes + kVhdFooterBytes));
  auto back = *resize_vhd_footer(*resized, kDiskBytes);
  EXPECT_TRUE(std::ranges::equal(base::view(back.raw), base::view(raw)));
}

TEST(VhdFooterTest, AcceptsUnusedRoomBetweenDiskAndFooter) {
  EXPECT_TRUE(decode_vhd_footer(base::view(valid_footer()), kFileBytes + 512));
}

TEST(VhdFooterTest, RejectsAFileThatWasCut) {
  const auto error = refusal(valid_footer(), kFileBytes - 512);

  EXPECT_EQ(error.code, base::ErrorCode::kCorrupt);
  EXPECT_THAT(error.message, HasSubstr("current size"));
}

TEST(VhdFooterTest, RejectsAFileThatIsNoWholeNumberOfSectors) {
  EXPECT_THAT(refusal(valid_footer(), kFileBytes + 1).message, HasSubstr("whole number"));
  EXPECT_THAT(refusal(valid_footer(), 511).message, HasSubstr("whole number"));
  EXPECT_THAT(refusal(valid_footer(), 0).message, HasSubstr("whole number"));
}

TEST(VhdFooterTest, RejectsAnotherCookie) {
  auto raw = valid_footer();
  raw.cookie[7] = std::byte{'X'};

  EXPECT_THAT(refusal(with_checksum(raw)).message, HasSubstr("cookie"));
}

TEST(VhdFooterTest, RejectsAnyFlippedBit) {
  const auto good = valid_footer();
  for (std::size_t i = 0; i < kVhdFooterBytes; ++i) {
    std::array<std::byte, kVhdFooterBytes> bytes{};
    std::ranges::copy(base::view(good), bytes.begin());
    bytes[i] ^= std::byte{0x10};

    EXPECT_FALSE(decode_vhd_footer(bytes, kFileBytes)) << "byte " << i;
  }
}

TEST(VhdFooterTest, RejectsAnotherFormatVersion) {
  auto raw = valid_footer();
  raw.format_version = 0x00020000;

  EXPECT_THAT(refusal(with_checksum(raw)).message, HasSubstr("format version"));
}

TEST(VhdFooterTest, RejectsASizeThatIsNoWholeNumberOfSectors) {
  auto raw = valid_footer();
  raw.current_bytes = kDiskBytes - 1;

  EXPECT_THAT(refusal(with_checksum(raw)).message, HasSubstr("multiple of 512"));
  EXPECT_EQ(error_code(make_vhd_footer(kDiskBytes - 1, {})), base::ErrorCode::kInvalidArgument);
}

TEST(VhdFooterTest, RejectsASizeNearTheTopOf64Bits) {
  auto raw = valid_footer();
  raw.current_bytes = 0xFFFFFFFFFFFFFE00;  // plus 512 this is 0

  EXPECT_EQ(refusal(with_checksum(raw)).code, base::ErrorCode::kCorrupt);
}

TEST(VhdFooterTest, NamesDynamicAndDifferencingDisks) {
  auto raw = valid_footer();
  raw.disk_type = 3;
  const auto dynamic = refusal(with_checksum(raw));
  raw.disk_type = 4;
  const auto differencing = refusal(with_checksum(raw));
  raw.disk_type = 5;
  const auto unknown = refusal(with_checksum(raw));

  EXPECT_EQ(dynamic.code, base::ErrorCode::kDenied);
  EXPECT_THAT(dynamic.message, HasSubstr("dynamic VHD"));
  EXPECT_EQ(differencing.code, base::ErrorCode::kDenied);
  EXPECT_THAT(differencing.message, HasSubstr("differencing VHD"));
  EXPECT_EQ(unknown.code, base::ErrorCode::kCorrupt);
  EXPECT_THAT(unknown.message, HasSubstr("disk type 5"));
}

TEST(VhdFooterTest, RecognisesVhdx) {
  const auto bytes = base::bytes_of("vhdxfile");

  EXPECT_TRUE(has_vhdx_signature(bytes.first<8>()));
  EXPECT_FALSE(has_vhdx_signature(base::bytes_of("vhdxfilm").first<8>()));
}

}  // namespace
}  // namespace vmgs::format
