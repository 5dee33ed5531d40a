// SPDX-License-Identifier: Apache-2.0
#include "vmgs/inspect/survey.h"

#include <gmock/gmock.h>

#include <algorithm>

#include "tests/support/error_code.h"
#include "tests/support/golden.h"
#include "tests/support/lying_disk.h"

namespace vmgs::inspect {
namespace {

using format::FileId;
using tests::support::error_code;
using tests::support::golden_device;
using tests::support::golden_image;
using tests::support::GoldenImage;
using tests::support::GoldenOutcome;

volume::DatastoreKey as_key(const tests::support::GoldenKey& key) {
  return {base::Secret<32>::copy_of(key)};
}

base::Result<Survey> survey_of(const GoldenImage& image,
                               const volume::DatastoreKey* key = nullptr) {
  const auto device = golden_device(image);
  return survey(*device, image.spacing, key);
}

class SurveyGoldenTest : public ::testing::TestWithParam<GoldenImage> {};

TEST_P(SurveyGoldenTest, SeesWhatTheManifestSays) {
  const auto& image = GetParam();
  const auto seen = survey_of(image);

  if (image.outcome == GoldenOutcome::kBlank) {
    EXPECT_EQ(error_code(seen), base::ErrorCode::kNotFound);
    return;
  }
  if (image.outcome == GoldenOutcome::kVersion1) {
    EXPECT_EQ(error_code(seen), base::ErrorCode::kDenied);
    return;
  }
  ASSERT_TRUE(seen) << seen.error().message;
  if (image.outcome == GoldenOutcome::kCorrupt) {
    const bool has_table =
        seen->state() != nullptr && seen->state()->generation->table().has_value();
    EXPECT_FALSE(has_table);
    return;
  }
  ASSERT_NE(seen->state(), nullptr);
  EXPECT_EQ(seen->state()->generation->slot(), image.active_slot);
  EXPECT_EQ(seen->state()->generation->header().sequence, image.sequence);
  EXPECT_EQ(seen->encrypted(), image.encrypted);
  EXPECT_EQ(seen->state()->bad_entries, 0U);
  for (const auto& file : image.files) {
    const auto& entry = seen->state()->entries.at(format::index(file.id));
    ASSERT_TRUE(entry) << format::describe(file.id);
    EXPECT_EQ(entry->first_block, file.first_block);
    EXPECT_EQ(entry->allocated_blocks, file.allocated_blocks);
  }
}

TEST_P(SurveyGoldenTest, TellsWhatEachKeyDoes) {
  const auto& image = GetParam();
  for (const auto& bytes : image.keys) {
    const auto key = as_key(bytes);
    const auto seen = survey_of(image, &key);
    ASSERT_TRUE(seen) << seen.error().message;
    if (image.outcome == GoldenOutcome::kOpens) {
      EXPECT_EQ(seen->key, KeyFit::kOpens);
      EXPECT_TRUE(seen->unlocked());
      EXPECT_FALSE(seen->fell_back);
    }
  }
  for (const auto& bytes : image.wrong_keys) {
    const auto key = as_key(bytes);
    const auto seen = survey_of(image, &key);
    ASSERT_TRUE(seen) << seen.error().message;
    EXPECT_EQ(seen->key, KeyFit::kWrong);
    EXPECT_FALSE(seen->unlocked());
    EXPECT_TRUE(seen->key_error);
  }
}

INSTANTIATE_TEST_SUITE_P(All, SurveyGoldenTest,
                         ::testing::ValuesIn(tests::support::golden_images()),
                         [](const auto& image) { return test_name(image.param); });

TEST(SurveyTest, ShowsBothGenerations) {
  const auto seen = survey_of(golden_image("02"));

  ASSERT_TRUE(seen);
  ASSERT_NE(seen->previous(), nullptr);
  EXPECT_EQ(seen->previous()->generation->header().sequence, 12U);
}

TEST(SurveyTest, ShowsBothWhereNeitherIsTheNewest) {
  const auto seen = survey_of(golden_image("11"));

  ASSERT_TRUE(seen);
  EXPECT_TRUE(seen->disorder);
  EXPECT_EQ(seen->state(), nullptr);
  EXPECT_TRUE(seen->sides[0].generation);
  EXPECT_TRUE(seen->sides[1].generation);
}

TEST(SurveyTest, KeepsTheEntriesThatAreRightBesideOneThatIsNot) {
  const auto seen = survey_of(golden_image("14"));

  ASSERT_TRUE(seen);
  ASSERT_NE(seen->state(), nullptr);
  EXPECT_FALSE(seen->state()->generation->table());
  EXPECT_EQ(seen->state()->bad_entries, 1U);
  EXPECT_FALSE(seen->state()->entries[format::index(FileId::kTpmNvram)]);
  EXPECT_TRUE(seen->state()->entries[0]);
}

TEST(SurveyTest, NamesTheFilesThatFail) {
  const auto& image = golden_image("16");
  const auto key = as_key(image.keys.front());

  const auto seen = survey_of(image, &key);

  ASSERT_TRUE(seen);
  ASSERT_EQ(seen->failing_files.size(), 1U);
  EXPECT_EQ(seen->failing_files[0].id, FileId::kTpmNvram);
}

TEST(SurveyTest, SaysThatAKeyHasNothingToOpen) {
  const volume::DatastoreKey key{base::Secret<32>::zero()};

  const auto seen = survey_of(golden_image("01"), &key);

  ASSERT_TRUE(seen);
  EXPECT_EQ(seen->key, KeyFit::kNotEncrypted);
}

TEST(SurveyTest, PassesOnThatTheDeviceCannotBeRead) {
  const auto& image = golden_image("02");
  const auto key = as_key(image.keys.front());
  for (std::uint64_t nth = 1; nth <= 5; ++nth) {
    tests::support::LyingDisk disk{tests::support::DiskImage(tests::support::golden_bytes(image))};
    disk.fail_read(nth);

    EXPECT_EQ(error_code(survey(disk, image.spacing, &key)), base::ErrorCode::kIo) << nth;
  }
}

}  // namespace
}  // namespace vmgs::inspect
