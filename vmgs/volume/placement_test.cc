// SPDX-License-Identifier: Apache-2.0
#include "vmgs/volume/placement.h"

#include <gtest/gtest.h>

namespace vmgs::volume {
namespace {

format::FileTable table_of(std::initializer_list<std::pair<std::uint32_t, std::uint32_t>> ranges) {
  format::FileTable table;
  std::size_t id = 1;
  for (const auto& [first, count] : ranges) {
    table.entries[id++] = format::FileEntry{.first_block = first, .allocated_blocks = count};
  }
  return table;
}

TEST(PlacementTest, TakesTheSmallestHoleThatFitsAndTheLowestOnATie) {
  // Holes: 2-5 (3 blocks), 6-8 (2), 9-11 (2), 12-20 (8).
  const auto committed = table_of({{5, 1}, {8, 1}, {11, 1}});
  Placement placement(20, committed, nullptr);

  EXPECT_EQ(*placement.place(2), 6U);
  EXPECT_EQ(*placement.place(2), 9U);
  EXPECT_EQ(*placement.place(2), 2U);
  EXPECT_EQ(*placement.place(1), 4U);
}

TEST(PlacementTest, NeverGivesAwayACommittedBlock) {
  const auto committed = table_of({{2, 4}});
  Placement placement(8, committed, nullptr);

  EXPECT_EQ(*placement.place(2), 6U);
  const auto more = placement.place(1);

  ASSERT_FALSE(more);
  EXPECT_EQ(more.error().code, base::ErrorCode::kDenied);
}

TEST(PlacementTest, SparesThePreviousGenerationWhileThereIsRoom) {
  const auto committed = table_of({{2, 1}});
  const auto previous = table_of({{3, 2}});
  Placement placement(7, committed, &previous);

  EXPECT_EQ(*placement.place(2), 5U);
  EXPECT_EQ(*placement.place(2), 3U);
}

TEST(PlacementTest, CopesWithAPreviousGenerationThatOverlaps) {
  const auto committed = table_of({{2, 4}});
  const auto previous = table_of({{3, 2}});
  Placement placement(8, committed, &previous);

  EXPECT_EQ(*placement.place(1), 6U);
}

}  // namespace
}  // namespace vmgs::volume
