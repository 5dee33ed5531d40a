// SPDX-License-Identifier: Apache-2.0
#include "tests/support/golden.h"

#include <gmock/gmock.h>

#include <algorithm>

#include "tests/support/lying_disk.h"
#include "vmgs/repair/examine.h"

namespace vmgs::repair {
namespace {

using ::testing::Contains;
using ::testing::IsEmpty;
using ::testing::Not;
using tests::support::GoldenImage;
using tests::support::GoldenOutcome;

volume::DatastoreKey datastore_key(const tests::support::GoldenKey& key) {
  return {base::Secret<32>::copy_of(key)};
}

std::vector<std::string> codes(const Examination& examination) {
  std::vector<std::string> result;
  for (const auto& finding : examination.findings) {
    result.push_back(finding.code);
  }
  return result;
}

Examination examined(const GoldenImage& image, const volume::DatastoreKey* key) {
  // A disk on which the n-th write would fail, for every n: none is tried.
  const auto device = tests::support::golden_device(image);
  base::Bytes content(device->size_bytes());
  EXPECT_TRUE(device->read(0, content));
  tests::support::LyingDisk disk{tests::support::DiskImage(std::move(content))};

  auto examination = examine(disk, image.spacing, key);

  EXPECT_EQ(disk.count(tests::support::Operation::kWrite), 0U);
  EXPECT_TRUE(examination) << examination.error().message;
  return examination ? *examination : Examination{};
}

class ExamineGoldenTest : public ::testing::TestWithParam<GoldenImage> {};

TEST_P(ExamineGoldenTest, FindsWithEachKeyWhatTheManifestSays) {
  const auto& image = GetParam();
  if (image.outcome != GoldenOutcome::kOpens) {
    EXPECT_FALSE(examined(image, nullptr).clean());
    for (const auto& key : image.keys) {
      const auto with = datastore_key(key);
      EXPECT_FALSE(examined(image, &with).clean());
    }
    return;
  }
  if (image.keys.empty()) {
    const auto examination = examined(image, nullptr);
    EXPECT_EQ(examination.clean(), image.clean) << ::testing::PrintToString(codes(examination));
    for (const auto& code : image.must_report) {
      EXPECT_THAT(codes(examination), Contains(code));
    }
  }
  for (const auto& key : image.keys) {
    const auto with = datastore_key(key);
    const auto examination = examined(image, &with);
    EXPECT_EQ(examination.clean(), image.clean) << ::testing::PrintToString(codes(examination));
    for (const auto& code : image.must_report) {
      EXPECT_THAT(codes(examination), Contains(code));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Images, ExamineGoldenTest,
                         ::testing::ValuesIn(tests::support::golden_images()),
                         [](const auto& test) { return tests::support::test_name(test.param); });

std::vector<GoldenImage> encrypted_images() {
  std::vector<GoldenImage> images;
  for (const auto& image : tests::support::golden_images()) {
    if (image.outcome == GoldenOutcome::kOpens && image.encrypted) {
      images.push_back(image);
    }
  }
  return images;
}

class ExamineEncryptedGoldenTest : public ::testing::TestWithParam<GoldenImage> {};

TEST_P(ExamineEncryptedGoldenTest, SaysWithoutTheKeyThatItIsMissing) {
  const auto& image = GetParam();

  const auto examination = examined(image, nullptr);

  EXPECT_THAT(codes(examination), Contains("locked"));
  EXPECT_TRUE(examination.clean()) << ::testing::PrintToString(codes(examination));
}

TEST_P(ExamineEncryptedGoldenTest, NamesAWrongKey) {
  const auto& image = GetParam();
  const auto key = datastore_key(tests::support::golden_image("02").wrong_keys[0]);

  const auto examination = examined(image, &key);

  EXPECT_THAT(codes(examination), Contains("wrong-key"));
  EXPECT_FALSE(examination.clean());
}

INSTANTIATE_TEST_SUITE_P(Images, ExamineEncryptedGoldenTest,
                         ::testing::ValuesIn(encrypted_images()),
                         [](const auto& test) { return tests::support::test_name(test.param); });

struct Expected {
  const char* image;
  std::vector<std::string> codes;
};

class ExamineUnopenableTest : public ::testing::TestWithParam<Expected> {};

// Of the images that do not open, exactly this and no more is wrong.
TEST_P(ExamineUnopenableTest, SaysWhy) {
  const auto examination = examined(tests::support::golden_image(GetParam().image), nullptr);

  std::vector<std::string> errors;
  for (const auto& finding : examination.findings) {
    if (finding.severity == volume::Severity::kError) {
      errors.push_back(finding.code);
    }
  }
  EXPECT_THAT(errors, ::testing::ElementsAreArray(GetParam().codes));
}

INSTANTIATE_TEST_SUITE_P(
    Images, ExamineUnopenableTest,
    ::testing::Values(Expected{"05", {"bad-header", "bad-header", "no-valid-header"}},
                      Expected{"11", {"sequence-gap"}}, Expected{"12", {"version-1"}},
                      Expected{"13", {"blank"}}, Expected{"14", {"bad-entry"}},
                      Expected{"15", {"bad-self-entry"}}),
    [](const auto& test) { return "Image" + std::string(test.param.image); });

TEST(ExamineGoldenImagesTest, FindsNothingInAFreshPlaintextStore) {
  EXPECT_THAT(codes(examined(tests::support::golden_image("01"), nullptr)), IsEmpty());
}

TEST(ExamineGoldenImagesTest, NotesTheReprovisionedMarker) {
  EXPECT_THAT(codes(examined(tests::support::golden_image("19"), nullptr)),
              ::testing::ElementsAre("reprovisioned"));
}

TEST(ExamineGoldenImagesTest, DoesNotCallAFileVerifiedThatNeedsTheKey) {
  // Image 18: overwritten in plaintext without the key. Only with the key can that be told.
  const auto& image = tests::support::golden_image("18");
  EXPECT_THAT(codes(examined(image, nullptr)), Not(Contains("auth-failure")));

  const auto key = datastore_key(image.keys[0]);
  EXPECT_THAT(codes(examined(image, &key)), Contains("attributes-differ"));
}

}  // namespace
}  // namespace vmgs::repair
