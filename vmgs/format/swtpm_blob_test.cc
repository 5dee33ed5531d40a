// SPDX-License-Identifier: Apache-2.0
#include "vmgs/format/swtpm_blob.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/support/error_code.h"

namespace vmgs::format {
namespace {

using base::ErrorCode;
using tests::support::error_code;

// The smallest file and the smallest migration blob, byte for byte as swtpm 0.7.1 lays them out.
// Each test spoils one thing about one of them.
base::Bytes valid_file() { return *base::from_hex("0201000a000000000012000100000002cafe"); }

base::Bytes valid_migration_blob() {
  return *base::from_hex("0201000a000400000018000400000008000100000002cafe");
}

TEST(SwtpmBlobTest, ReadsAFile) {
  const auto file = valid_file();

  const auto blob = decode_swtpm_blob(file);

  ASSERT_TRUE(blob) << blob.error().message;
  EXPECT_EQ(blob->use, SwtpmUse::kFile);
  EXPECT_EQ(base::to_hex(blob->state), "cafe");
}

TEST(SwtpmBlobTest, ReadsAMigrationBlob) {
  const auto bytes = valid_migration_blob();

  const auto blob = decode_swtpm_blob(bytes);

  ASSERT_TRUE(blob) << blob.error().message;
  EXPECT_EQ(blob->use, SwtpmUse::kMigration);
  EXPECT_EQ(base::to_hex(blob->state), "cafe");
}

TEST(SwtpmBlobTest, WritesTheBytesOfSwtpm) {
  const auto state = *base::from_hex("cafe");

  const auto file = encode_swtpm_blob(SwtpmUse::kFile, state);
  const auto migration = encode_swtpm_blob(SwtpmUse::kMigration, state);

  EXPECT_TRUE(std::ranges::equal(file.expose(), valid_file()));
  EXPECT_TRUE(std::ranges::equal(migration.expose(), valid_migration_blob()));
}

TEST(SwtpmBlobTest, RejectsATotalLengthThatIsNotTheLength) {
  const auto file = *base::from_hex("0201000a000000000012000100000002cafe007700000000");

  EXPECT_EQ(error_code(decode_swtpm_blob(file)), ErrorCode::kCorrupt);
}

TEST(SwtpmBlobTest, RejectsWhatIsShorterThanAHeader) {
  auto file = valid_file();
  file.resize(9);

  EXPECT_EQ(error_code(decode_swtpm_blob(file)), ErrorCode::kCorrupt);
}

TEST(SwtpmBlobTest, RejectsAHeaderThatEndsPastTheBlob) {
  auto file = valid_file();
  file[3] = std::byte{19};

  EXPECT_EQ(error_code(decode_swtpm_blob(file)), ErrorCode::kCorrupt);
}

TEST(SwtpmBlobTest, RejectsAHeaderShorterThanItsFields) {
  const auto file = *base::from_hex("0201000800000000001800000000000100000004deadbeef");

  EXPECT_EQ(error_code(decode_swtpm_blob(file)), ErrorCode::kCorrupt);
}

TEST(SwtpmBlobTest, SkipsWhatALaterVersionAddsToTheHeader) {
  auto file = *base::from_hex("0301000c000000000014ffff000100000002cafe");

  const auto blob = decode_swtpm_blob(file);

  ASSERT_TRUE(blob) << blob.error().message;
  EXPECT_EQ(base::to_hex(blob->state), "cafe");
}

TEST(SwtpmBlobTest, SkipsRecordsThatItDoesNotKnow) {
  const auto file = *base::from_hex("0201000a00000000001a0077000000021234000100000002cafe");

  const auto blob = decode_swtpm_blob(file);

  ASSERT_TRUE(blob) << blob.error().message;
  EXPECT_EQ(base::to_hex(blob->state), "cafe");
}

TEST(SwtpmBlobTest, RejectsARecordThatEndsPastTheBlob) {
  auto file = valid_file();
  file[15] = std::byte{3};

  EXPECT_EQ(error_code(decode_swtpm_blob(file)), ErrorCode::kCorrupt);
}

TEST(SwtpmBlobTest, RejectsARecordWhoseLengthWouldOverflow32Bits) {
  auto file = valid_file();
  std::fill(file.begin() + 12, file.begin() + 16, std::byte{0xff});

  EXPECT_EQ(error_code(decode_swtpm_blob(file)), ErrorCode::kCorrupt);
}

TEST(SwtpmBlobTest, RejectsBytesAfterTheLastRecord) {
  const auto file = *base::from_hex("0201000a000000000013000100000002cafe00");

  EXPECT_EQ(error_code(decode_swtpm_blob(file)), ErrorCode::kCorrupt);
}

TEST(SwtpmBlobTest, RejectsABlobWithoutData) {
  auto file = valid_file();
  file[11] = std::byte{3};

  EXPECT_EQ(error_code(decode_swtpm_blob(file)), ErrorCode::kCorrupt);
}

TEST(SwtpmBlobTest, RejectsAMigrationBlobWithoutMigrationData) {
  auto blob = valid_migration_blob();
  blob[11] = std::byte{1};

  EXPECT_EQ(error_code(decode_swtpm_blob(blob)), ErrorCode::kCorrupt);
}

TEST(SwtpmBlobTest, RefusesEncryptedStateInASentence) {
  for (const unsigned flags : {1U, 2U, 0x16U}) {
    auto file = valid_file();
    file[5] = static_cast<std::byte>(flags);

    const auto blob = decode_swtpm_blob(file);

    EXPECT_EQ(error_code(blob), ErrorCode::kDenied) << flags;
  }
}

TEST(SwtpmBlobTest, RefusesVersionsThatItDoesNotKnow) {
  auto first = valid_file();
  first[0] = std::byte{1};
  auto later = valid_file();
  later[0] = std::byte{3};
  later[1] = std::byte{3};

  EXPECT_EQ(error_code(decode_swtpm_blob(first)), ErrorCode::kDenied);
  EXPECT_EQ(error_code(decode_swtpm_blob(later)), ErrorCode::kDenied);
}

TEST(SwtpmBlobTest, RejectsAVersionBelowItsOwnMinimum) {
  auto file = valid_file();
  file[1] = std::byte{9};

  EXPECT_EQ(error_code(decode_swtpm_blob(file)), ErrorCode::kCorrupt);
}

}  // namespace
}  // namespace vmgs::format
