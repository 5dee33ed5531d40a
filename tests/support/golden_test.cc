// SPDX-License-Identifier: Apache-2.0
#include "tests/support/golden.h"

#include <gtest/gtest.h>

#include "vmgs/format/header_spacing.h"

namespace tests::support {
namespace {

using vmgs::format::HeaderSpacing;

class GoldenTest : public ::testing::TestWithParam<GoldenImage> {};

TEST_P(GoldenTest, IsWholeAndHasTheSpacingThatTheDetectorFinds) {
  const auto device = golden_device(GetParam());
  base::Bytes start(vmgs::format::kHeaderAreaBytes);
  ASSERT_TRUE(device->read(0, start));

  const auto spacing = vmgs::format::detect_header_spacing(vmgs::format::HeaderArea(start));

  ASSERT_TRUE(spacing);
  EXPECT_EQ(*spacing, GetParam().spacing);
}

INSTANTIATE_TEST_SUITE_P(Images, GoldenTest, ::testing::ValuesIn(golden_images()),
                         [](const auto& test) { return test_name(test.param); });

TEST(GoldenManifestTest, SpeaksOfNineteenImages) {
  EXPECT_EQ(golden_images().size(), 19U);
  EXPECT_EQ(golden_image("08").spacing, HeaderSpacing::k4096);
  EXPECT_TRUE(golden_image("09").is_fixed_vhd);
  EXPECT_EQ(golden_image("02").files.size(), 7U);
  EXPECT_EQ(golden_image("03").keys.size(), 2U);
  EXPECT_EQ(golden_image("18").without_key.size(), 1U);
  EXPECT_EQ(golden_image("07").must_report, std::vector<std::string>{"overlap"});
  EXPECT_FALSE(golden_image("07").writable);
  EXPECT_EQ(golden_image("12").outcome, GoldenOutcome::kVersion1);
  EXPECT_EQ(golden_image("13").outcome, GoldenOutcome::kBlank);
}

}  // namespace
}  // namespace tests::support
