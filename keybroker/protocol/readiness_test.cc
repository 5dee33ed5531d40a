// SPDX-License-Identifier: Apache-2.0
#include "keybroker/protocol/readiness.h"

#include <gtest/gtest.h>

#include <set>

namespace keybroker::protocol {
namespace {

TEST(ReadinessTest, HasARowForEachInTheOrderOfTheEnumeration) {
  const auto rows = readiness_rows();
  ASSERT_EQ(rows.size(), static_cast<std::size_t>(Readiness::kNotSetUp) + 1);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    EXPECT_EQ(static_cast<std::size_t>(rows[i].readiness), i) << rows[i].name;
  }
}

TEST(ReadinessTest, HasNamesThatAreReadBackAndDiffer) {
  std::set<std::string_view> seen;
  for (const auto& each : readiness_rows()) {
    const auto parsed = parse_readiness(each.name);
    ASSERT_TRUE(parsed);
    EXPECT_EQ(*parsed, each.readiness);
    EXPECT_TRUE(seen.insert(each.name).second) << each.name;
  }
  EXPECT_FALSE(parse_readiness("Ready"));
}

TEST(ReadinessTest, SaysWhatItMeansAndWhatToDoInSentences) {
  for (const auto& each : readiness_rows()) {
    EXPECT_TRUE(each.meaning.ends_with('.')) << each.name;
    EXPECT_TRUE(each.remedy.ends_with('.')) << each.name;
  }
}

TEST(ReadinessTest, IsReadyOnlyWhenReady) {
  for (const auto& each : readiness_rows()) {
    EXPECT_EQ(each.prospect == Prospect::kReady, each.readiness == Readiness::kReady) << each.name;
  }
}

}  // namespace
}  // namespace keybroker::protocol
