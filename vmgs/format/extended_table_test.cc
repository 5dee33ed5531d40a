// SPDX-License-Identifier: Apache-2.0
#include "vmgs/format/extended_table.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "vmgs/base/bytes.h"
#include "vmgs/format/file_table.h"

namespace vmgs::format {
namespace {

base::Secret<32> key_of(std::byte value) {
  auto key = base::Secret<32>::zero();
  std::ranges::fill(key.fill(), value);
  return key;
}

TEST(ExtendedTableTest, KeepsKeysAndDigestsWhereTheFormatSays) {
  ExtendedTable table;
  ContentDigest digest{};
  digest.fill(std::byte{0xDD});

  table.set_encrypted(FileId::kTpmNvram, key_of(std::byte{0xAA}));
  table.set_plaintext(FileId::kSealedKeys, digest);

  const auto bytes = table.expose();
  EXPECT_EQ(bytes[3 * 64], std::byte{3});
  EXPECT_EQ(bytes[3 * 64 + 4], std::byte{0xAA});
  EXPECT_EQ(bytes[3 * 64 + 35], std::byte{0xAA});
  EXPECT_EQ(bytes[3 * 64 + 36], std::byte{0});
  EXPECT_EQ(bytes[48 * 64 + 36], std::byte{0xDD});
  EXPECT_EQ(table.attributes(FileId::kSealedKeys), 0U);
  EXPECT_TRUE(table.key(FileId::kTpmNvram).equals_in_constant_time(key_of(std::byte{0xAA})));
  EXPECT_EQ(table.digest(FileId::kSealedKeys), digest);
}

TEST(ExtendedTableTest, ClearLeavesNoKeyBehind) {
  ExtendedTable table;
  table.set_encrypted(FileId::kTpmNvram, key_of(std::byte{0xAA}));

  table.clear(FileId::kTpmNvram);

  EXPECT_TRUE(base::is_all_zero(table.expose()));
}

TEST(ExtendedTableTest, HasNoCommitInfoUnlessOursWroteIt) {
  ExtendedTable table;
  EXPECT_FALSE(table.commit_info());

  table.set_commit_info({.one_barrier = true, .sequence = 0x1122334455667788}, {});

  const auto info = table.commit_info();
  ASSERT_TRUE(info);
  EXPECT_TRUE(info->one_barrier);
  EXPECT_EQ(info->sequence, 0x1122334455667788U);
  EXPECT_EQ(base::to_hex(table.expose().subspan(4, 32)),
            "53524d31"
            "01000000"
            "8877665544332211"
            "00000000000000000000000000000000");
}

TEST(ExtendedTableTest, FileTableDigestLeavesOutOnlyNonceAndTagOfEntry63) {
  FileTable table;
  table[FileId::kFileTable] =
      FileEntry{.first_block = 2, .allocated_blocks = 1, .valid_bytes = kBlockBytes};
  table[FileId::kExtendedFileTable] =
      FileEntry{.first_block = 3, .allocated_blocks = 1, .valid_bytes = kBlockBytes};
  const auto before = file_table_digest(encode_file_table(table));

  table[FileId::kExtendedFileTable]->tag.fill(std::byte{1});
  table[FileId::kExtendedFileTable]->nonce.fill(std::byte{1});
  EXPECT_EQ(file_table_digest(encode_file_table(table)), before);

  table[FileId::kExtendedFileTable]->first_block = 4;
  EXPECT_NE(file_table_digest(encode_file_table(table)), before);
}

}  // namespace
}  // namespace vmgs::format
