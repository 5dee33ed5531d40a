// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include "tests/support/golden.h"
#include "vmgs/crypto/digest.h"
#include "vmgs/repair/packaging.h"
#include "vmgs/repair/plan.h"
#include "vmgs/storage/memory.h"
#include "vmgs/volume/volume.h"

// What a repair does to the golden images, which are other people's stores.
namespace vmgs::repair {
namespace {

using ::testing::Contains;
using ::testing::IsEmpty;
using tests::support::golden_image;
using tests::support::GoldenImage;
using tests::support::GoldenOutcome;

volume::DatastoreKey datastore_key(const tests::support::GoldenKey& key) {
  return {base::Secret<32>::copy_of(key)};
}

Patient patient_of(const GoldenImage& image) {
  Patient patient;
  if (!image.is_fixed_vhd) {
    patient.spacing = image.spacing;
  }
  return patient;
}

struct Repaired {
  Plan plan;
  base::Bytes bytes;
};

Repaired repaired(const GoldenImage& image, const Wishes& wishes = {}) {
  storage::MemoryDevice device(tests::support::golden_bytes(image));
  std::optional<volume::DatastoreKey> key;
  if (!image.keys.empty()) {
    key = datastore_key(image.keys.front());
  }
  auto plan = plan_repair(device, patient_of(image), key ? &*key : nullptr, wishes);
  EXPECT_TRUE(plan) << plan.error().message;
  if (!plan) {
    return {};
  }
  for (const auto& step : plan->steps) {
    EXPECT_TRUE(apply(device, step));
  }
  return {*std::move(plan), device.contents()};
}

std::vector<std::string> codes(const std::vector<volume::Finding>& findings) {
  std::vector<std::string> result;
  for (const auto& finding : findings) {
    result.push_back(finding.code);
  }
  return result;
}

// Every file of the manifest that read before reads the same.
void expect_files(const GoldenImage& image, const base::Bytes& bytes) {
  storage::MemoryDevice device(bytes);
  const auto packaging = find_packaging(device, patient_of(image));
  ASSERT_TRUE(packaging);
  Window window(device, packaging->store_bytes);
  auto opened = volume::Volume::open(window, packaging->spacing);
  ASSERT_TRUE(opened) << opened.error().message;
  if (opened->encrypted()) {
    ASSERT_TRUE(opened->unlock(volume::fixed_key(datastore_key(image.keys.front()))));
  }
  for (const auto& file : image.files) {
    if (file.readable) {
      const auto content = opened->read(file.id);
      ASSERT_TRUE(content) << content.error().message;
      EXPECT_EQ(base::to_hex(crypto::sha256(content->expose())), file.sha256);
    }
  }
}

class RepairGoldenTest : public ::testing::TestWithParam<GoldenImage> {};

TEST_P(RepairGoldenTest, LosesNothingThatReads) {
  const auto& image = GetParam();
  const auto result = repaired(image);

  if (image.outcome == GoldenOutcome::kOpens) {
    expect_files(image, result.bytes);
  }
  for (const auto& open : result.plan.open) {
    EXPECT_FALSE(open.message.empty());
  }
}

INSTANTIATE_TEST_SUITE_P(Images, RepairGoldenTest,
                         ::testing::ValuesIn(tests::support::golden_images()),
                         [](const auto& test) { return tests::support::test_name(test.param); });

class CurableGoldenTest : public ::testing::TestWithParam<const char*> {};

// Those that a repair makes clean without another word.
TEST_P(CurableGoldenTest, IsCleanAfterwards) {
  const auto& image = golden_image(GetParam());
  const auto result = repaired(image);

  EXPECT_FALSE(result.plan.steps.empty());
  for (const auto& open : result.plan.open) {
    EXPECT_NE(open.severity, volume::Severity::kError) << open.code;
  }
  for (const auto& finding : result.plan.after) {
    EXPECT_NE(finding.severity, volume::Severity::kError) << finding.code;
  }
}

INSTANTIATE_TEST_SUITE_P(Images, CurableGoldenTest, ::testing::Values("04", "05", "07", "10", "15"),
                         [](const auto& test) { return "Image" + std::string(test.param); });

TEST(RepairGoldenImagesTest, LeavesWhatIsCleanAsItIs) {
  for (const auto* const number : {"01", "02", "19"}) {
    EXPECT_THAT(repaired(golden_image(number)).plan.steps, IsEmpty()) << number;
  }
}

TEST(RepairGoldenImagesTest, SaysWhatToDoAboutWhatIsNoStore) {
  EXPECT_THAT(codes(repaired(golden_image("12")).plan.open), Contains("version-1"));
  EXPECT_THAT(codes(repaired(golden_image("13")).plan.open), Contains("blank"));
}

}  // namespace
}  // namespace vmgs::repair
