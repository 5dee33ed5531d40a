// SPDX-License-Identifier: Apache-2.0
#include "vmgs/format/file_table.h"

#include <gtest/gtest.h>

namespace vmgs::format {
namespace {

constexpr std::uint32_t kTableBlock = 2;
constexpr std::uint64_t kCapacity = 64;

// A table that the format accepts. Each test spoils one thing about it.
FileTable valid_table() {
  FileTable table;
  table[FileId::kFileTable] =
      FileEntry{.first_block = kTableBlock, .allocated_blocks = 1, .valid_bytes = 4096};
  table[FileId::kTpmNvram] =
      FileEntry{.first_block = 4, .allocated_blocks = 8, .valid_bytes = 32768};
  table[FileId::kExtendedFileTable] =
      FileEntry{.first_block = 3, .allocated_blocks = 1, .valid_bytes = 4096};
  return table;
}

void expect_refused(const FileTable& table, std::string_view why) {
  const auto block = encode_file_table(table);

  const auto decoded = decode_file_table(block, kTableBlock, kCapacity);

  ASSERT_FALSE(decoded);
  EXPECT_EQ(decoded.error().code, base::ErrorCode::kCorrupt);
  EXPECT_NE(decoded.error().message.find(why), std::string::npos) << decoded.error().message;
}

TEST(FileTableTest, RoundTrips) {
  const auto table = valid_table();

  const auto decoded = decode_file_table(encode_file_table(table), kTableBlock, kCapacity);

  ASSERT_TRUE(decoded);
  EXPECT_EQ(decoded->entries, table.entries);
  EXPECT_FALSE(find_overlap(*decoded));
}

TEST(FileTableTest, RejectsAFileInTheHeaderArea) {
  auto table = valid_table();
  table[FileId::kTpmNvram]->first_block = 1;

  expect_refused(table, "TPM_NVRAM (3): first block 1");
}

TEST(FileTableTest, RejectsARangeThatWouldWrapIn32Bits) {
  auto table = valid_table();
  table[FileId::kTpmNvram]->allocated_blocks = 0xFFFFFFFF;

  expect_refused(table, "past the store");
}

TEST(FileTableTest, RejectsAFileOneBlockPastTheEnd) {
  auto table = valid_table();
  table[FileId::kTpmNvram]->first_block = kCapacity - 7;

  expect_refused(table, "past the store");
}

TEST(FileTableTest, RejectsMoreBytesThanBlocks) {
  auto table = valid_table();
  table[FileId::kTpmNvram]->valid_bytes = 8 * 4096 + 1;

  expect_refused(table, "exceeds");
}

TEST(FileTableTest, RejectsATableThatDescribesAnotherBlock) {
  auto table = valid_table();
  table[FileId::kFileTable]->first_block = 20;
  expect_refused(table, "entry 0");

  table[FileId::kFileTable].reset();
  expect_refused(table, "entry 0");
}

// Not inlined, so that the compiler knows nothing of `original`.
[[gnu::noinline]] Block encoded_without_tpm_nvram(const FileTable& original) {
  FileTable copy = original;
  copy[FileId::kTpmNvram].reset();
  return encode_file_table(copy);
}

// GCC 12.2 left the entry in the copy: it read the flag of the optional before it copied the table.
TEST(FileTableTest, ACopyForgetsAnErasedEntry) {
  const auto decoded =
      decode_file_table(encoded_without_tpm_nvram(valid_table()), kTableBlock, kCapacity);

  ASSERT_TRUE(decoded);
  EXPECT_FALSE((*decoded)[FileId::kTpmNvram]);
}

TEST(FileTableTest, FindsAnOverlapButNotNeighbours) {
  auto table = valid_table();
  table[FileId::kGuestFirmware] =
      FileEntry{.first_block = 12, .allocated_blocks = 2, .valid_bytes = 1};
  EXPECT_FALSE(find_overlap(table));

  table[FileId::kGuestFirmware]->first_block = 11;
  const auto overlap = find_overlap(table);

  ASSERT_TRUE(overlap);
  EXPECT_EQ(overlap->first, FileId::kTpmNvram);
  EXPECT_EQ(overlap->second, FileId::kGuestFirmware);
}

}  // namespace
}  // namespace vmgs::format
