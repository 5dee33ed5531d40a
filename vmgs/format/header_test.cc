// SPDX-License-Identifier: Apache-2.0
#include "vmgs/format/header.h"

#include <gtest/gtest.h>

namespace vmgs::format {
namespace {

// A header that the format accepts. Each test spoils one thing about it.
HeaderLayout valid_header() {
  Header header;
  header.sequence = 7;
  header.file_table_block = 4;
  header.encrypted = true;
  KeySlot slot{};
  slot.wrapped_key.fill(std::byte{0x11});
  header.key_slots[1] = slot;
  return encode_header(header);
}

HeaderLayout with_checksum(HeaderLayout raw) {
  raw.checksum = header_checksum(base::view(raw));
  return raw;
}

void expect_refused(const HeaderLayout& raw, std::string_view why) {
  const auto header = decode_header(base::view(raw));

  ASSERT_FALSE(header);
  EXPECT_EQ(header.error().code, base::ErrorCode::kCorrupt);
  EXPECT_NE(header.error().message.find(why), std::string::npos) << header.error().message;
}

TEST(HeaderTest, FreshPlaintextStoreHasTheKnownChecksum) {
  Header header;
  header.sequence = 1;
  header.file_table_block = 2;

  EXPECT_EQ(encode_header(header).checksum.value(), 0x6D2EED28U);
}

TEST(HeaderTest, RoundTripsEveryField) {
  const auto raw = valid_header();

  const auto header = decode_header(base::view(raw));

  ASSERT_TRUE(header);
  EXPECT_EQ(header->sequence, 7U);
  EXPECT_EQ(header->file_table_block, 4U);
  EXPECT_TRUE(header->encrypted);
  EXPECT_FALSE(header->reprovisioned);
  EXPECT_FALSE(header->key_slots[0]);
  ASSERT_TRUE(header->key_slots[1]);
  EXPECT_EQ(header->key_slots[1]->wrapped_key[31], std::byte{0x11});
  EXPECT_TRUE(std::ranges::equal(base::view(encode_header(*header)), base::view(raw)));
}

TEST(HeaderTest, RejectsAForeignSignature) {
  auto raw = valid_header();
  raw.signature[0] = std::byte{'X'};

  expect_refused(with_checksum(raw), "signature");
}

TEST(HeaderTest, RejectsOtherVersions) {
  auto raw = valid_header();
  raw.version = 0x00020000;
  expect_refused(with_checksum(raw), "version 2");

  raw.version = 0x00040000;
  expect_refused(with_checksum(raw), "version");
}

TEST(HeaderTest, RejectsAWrongSize) {
  auto raw = valid_header();
  raw.header_bytes = 167;

  expect_refused(with_checksum(raw), "size");
}

TEST(HeaderTest, RejectsAnyFlippedBit) {
  const auto raw = valid_header();
  for (std::size_t bit = 0; bit < kHeaderBytes * 8; ++bit) {
    auto spoiled = raw;
    std::array<std::byte, kHeaderBytes> bytes{};
    std::ranges::copy(base::view(spoiled), bytes.begin());
    bytes[bit / 8] ^= std::byte{1} << (bit % 8);

    EXPECT_FALSE(decode_header(bytes)) << "bit " << bit;
  }
}

TEST(HeaderTest, RejectsATableInTheHeaderArea) {
  auto raw = valid_header();
  raw.file_table_block = 1;

  expect_refused(with_checksum(raw), "header area");
}

TEST(HeaderTest, RejectsATableOfTwoBlocks) {
  auto raw = valid_header();
  raw.file_table_blocks = 2;

  expect_refused(with_checksum(raw), "length");
}

TEST(HeaderTest, RejectsAnUnknownAlgorithm) {
  auto raw = valid_header();
  raw.encryption_algorithm = 2;

  expect_refused(with_checksum(raw), "algorithm");
}

TEST(HeaderTest, KeepsUnknownMarkersAndReportsReservedBytes) {
  auto raw = valid_header();
  raw.markers = 0x8001;
  raw.reserved = 1;

  const auto header = decode_header(base::view(with_checksum(raw)));

  ASSERT_TRUE(header);
  EXPECT_TRUE(header->reprovisioned);
  EXPECT_EQ(header->unknown_markers, 0x8000);
  EXPECT_TRUE(header->reserved_nonzero);
}

TEST(HeaderTest, SequenceZeroFollowsTheLargest) {
  EXPECT_TRUE(follows(0, 0xFFFFFFFF));
  EXPECT_TRUE(follows(5, 4));
  EXPECT_FALSE(follows(4, 5));
  EXPECT_FALSE(follows(4, 4));
  EXPECT_FALSE(follows(6, 4));
}

}  // namespace
}  // namespace vmgs::format
