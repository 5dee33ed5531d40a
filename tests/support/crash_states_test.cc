// SPDX-License-Identifier: Apache-2.0
#include "tests/support/crash_states.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <set>

namespace tests::support {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::UnorderedElementsAre;

using Sketch = std::vector<int>;  // the first byte of each sector

Sketch sketch(const DiskImage& image) {
  Sketch firsts;
  for (std::uint64_t i = 0; i < image.size_bytes() / kSectorBytes; ++i) {
    firsts.push_back(std::to_integer<int>(image.sector(i)[0]));
  }
  return firsts;
}

LyingDisk disk_of(std::uint64_t sectors) { return LyingDisk(DiskImage(sectors * kSectorBytes)); }

void fill(LyingDisk& disk, std::uint64_t sector, std::size_t sectors, int value) {
  ASSERT_TRUE(disk.write(sector * kSectorBytes,
                         base::Bytes(sectors * kSectorBytes, static_cast<std::byte>(value))));
}

struct Visited {
  Exploration exploration;
  std::vector<Sketch> sketches;
};

Visited explore(const LyingDisk& disk, const CrashOptions& options = {}) {
  Visited visited;
  visited.exploration = explore_crash_states(disk, options, [&](const CrashState& state) {
    visited.sketches.push_back(sketch(state.image));
    return true;
  });
  EXPECT_EQ(visited.exploration.states, visited.sketches.size());
  return visited;
}

TEST(CrashStatesTest, AreOneIfNothingIsInFlight) {
  auto disk = disk_of(2);
  fill(disk, 0, 1, 7);
  ASSERT_TRUE(disk.flush());

  const auto visited = explore(disk);

  EXPECT_TRUE(visited.exploration.exhaustive);
  EXPECT_THAT(visited.sketches, ElementsAre(Sketch{7, 0}));
}

TEST(CrashStatesTest, AreAllSubsetsOfTheSectorsInFlight) {
  auto disk = disk_of(3);
  fill(disk, 0, 2, 1);

  const auto visited = explore(disk);

  EXPECT_TRUE(visited.exploration.exhaustive);
  EXPECT_THAT(visited.sketches, UnorderedElementsAre(Sketch{0, 0, 0}, Sketch{1, 0, 0},
                                                     Sketch{0, 1, 0}, Sketch{1, 1, 0}));
}

TEST(CrashStatesTest, IncludeEveryVersionOfASector) {
  auto disk = disk_of(2);
  fill(disk, 0, 1, 1);
  fill(disk, 1, 1, 2);
  fill(disk, 0, 1, 3);

  const auto visited = explore(disk);

  EXPECT_THAT(visited.sketches, UnorderedElementsAre(Sketch{0, 0}, Sketch{1, 0}, Sketch{3, 0},
                                                     Sketch{0, 2}, Sketch{1, 2}, Sketch{3, 2}));
}

TEST(CrashStatesTest, CountEqualVersionsOnce) {
  auto disk = disk_of(2);
  fill(disk, 0, 1, 5);
  ASSERT_TRUE(disk.flush());
  fill(disk, 0, 1, 5);  // changes nothing
  fill(disk, 1, 1, 6);
  fill(disk, 1, 1, 6);

  const auto visited = explore(disk, {.exhaustive_versions = 1});

  EXPECT_TRUE(visited.exploration.exhaustive);
  EXPECT_THAT(visited.sketches, UnorderedElementsAre(Sketch{5, 0}, Sketch{5, 6}));
}

TEST(CrashStatesTest, DoNotTouchWhatIsDurable) {
  auto disk = disk_of(3);
  fill(disk, 0, 2, 9);
  ASSERT_TRUE(disk.flush());
  fill(disk, 1, 1, 1);

  EXPECT_THAT(explore(disk).sketches, UnorderedElementsAre(Sketch{9, 9, 0}, Sketch{9, 1, 0}));
}

TEST(CrashStatesTest, DoNotIncludeWritesThatAFailedFlushDropped) {
  auto disk = disk_of(1);
  disk.fail_flush(1, Lasting::kOnce, AfterFailedFlush::kDropsButShowsWrites);
  fill(disk, 0, 1, 1);
  ASSERT_FALSE(disk.flush());

  EXPECT_THAT(explore(disk).sketches, ElementsAre(Sketch{0}));
}

TEST(CrashStatesTest, LeaveWholeSectorsUnlessTheyMayTear) {
  auto disk = disk_of(1);
  fill(disk, 0, 1, 1);
  std::set<std::pair<int, int>> halves;
  const auto note = [&](const CrashState& state) {
    const auto sector = state.image.sector(0);
    halves.emplace(std::to_integer<int>(sector[255]), std::to_integer<int>(sector[256]));
    return true;
  };
  using Halves = std::pair<int, int>;

  explore_crash_states(disk, {}, note);
  EXPECT_THAT(halves, UnorderedElementsAre(Halves(0, 0), Halves(1, 1)));

  explore_crash_states(disk, {.tearable_sectors = {0}}, note);
  EXPECT_THAT(halves, UnorderedElementsAre(Halves(0, 0), Halves(1, 1), Halves(1, 0), Halves(0, 1),
                                           Halves(0xFE, 0xFE)));
}

TEST(CrashStatesTest, EndWhenAVisitSaysSo) {
  auto disk = disk_of(4);
  fill(disk, 0, 4, 1);
  int visits = 0;

  const auto exploration =
      explore_crash_states(disk, {}, [&](const CrashState&) { return ++visits < 3; });

  EXPECT_EQ(visits, 3);
  EXPECT_EQ(exploration.states, 3U);
  EXPECT_FALSE(exploration.exhaustive);
}

TEST(CrashStatesTest, SayWhatSurvived) {
  auto disk = disk_of(2);
  fill(disk, 1, 1, 1);
  std::vector<std::string> descriptions;

  explore_crash_states(disk, {.seed = 42}, [&](const CrashState& state) {
    descriptions.push_back(state.describe());
    return true;
  });

  EXPECT_THAT(descriptions, ElementsAre(HasSubstr("seed 42: sector 1 version 0/1"),
                                        HasSubstr("seed 42: sector 1 version 1/1")));
}

// Above the bound: three writes of four sectors each, the third over the first.
class SampledCrashStatesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    fill(disk_, 0, 4, 1);
    fill(disk_, 4, 4, 2);
    fill(disk_, 0, 4, 3);
  }

  Visited sampled(std::uint64_t random_states, std::uint64_t seed = 1) {
    return explore(disk_,
                   {.exhaustive_versions = 11, .random_states = random_states, .seed = seed});
  }

  LyingDisk disk_ = disk_of(8);
};

TEST_F(SampledCrashStatesTest, StartAboveTheBound) {
  EXPECT_FALSE(sampled(0).exploration.exhaustive);

  const auto all = explore(disk_, {.exhaustive_versions = 12});
  EXPECT_TRUE(all.exploration.exhaustive);
  EXPECT_EQ(all.exploration.states, 81U * 16U);  // four sectors of three contents, four of two
}

TEST_F(SampledCrashStatesTest, IncludeEveryPrefixOfTheSectorWrites) {
  const auto visited = sampled(0).sketches;

  EXPECT_THAT(visited, Contains(Sketch{0, 0, 0, 0, 0, 0, 0, 0}));
  EXPECT_THAT(visited, Contains(Sketch{1, 1, 1, 0, 0, 0, 0, 0}));
  EXPECT_THAT(visited, Contains(Sketch{1, 1, 1, 1, 2, 2, 0, 0}));
  EXPECT_THAT(visited, Contains(Sketch{3, 3, 1, 1, 2, 2, 2, 2}));
  EXPECT_THAT(visited, Contains(Sketch{3, 3, 3, 3, 2, 2, 2, 2}));
}

TEST_F(SampledCrashStatesTest, IncludeEverySubsetOfTheWrites) {
  const auto visited = sampled(0).sketches;

  EXPECT_THAT(visited, Contains(Sketch{0, 0, 0, 0, 2, 2, 2, 2}));
  EXPECT_THAT(visited, Contains(Sketch{3, 3, 3, 3, 0, 0, 0, 0}));
}

TEST_F(SampledCrashStatesTest, IncludeEachVersionOfEachSectorAlone) {
  const auto visited = sampled(0).sketches;

  EXPECT_THAT(visited, Contains(Sketch{3, 3, 3, 3, 2, 0, 2, 2}));
  EXPECT_THAT(visited, Contains(Sketch{3, 1, 3, 3, 2, 2, 2, 2}));
  EXPECT_THAT(visited, Contains(Sketch{0, 0, 3, 0, 0, 0, 0, 0}));
  EXPECT_THAT(visited, Contains(Sketch{0, 0, 0, 0, 0, 0, 2, 0}));
}

TEST_F(SampledCrashStatesTest, AreAllPossibleAndAllDifferent) {
  const auto all = explore(disk_, {.exhaustive_versions = 12}).sketches;
  const std::set<Sketch> possible(all.begin(), all.end());

  const auto visited = sampled(500).sketches;

  EXPECT_GT(visited.size(), 200U);
  const std::set<Sketch> different(visited.begin(), visited.end());
  EXPECT_EQ(different.size(), visited.size());
  EXPECT_TRUE(std::includes(possible.begin(), possible.end(), different.begin(), different.end()));
}

TEST_F(SampledCrashStatesTest, AreReplayedByTheirSeed) {
  EXPECT_EQ(sampled(100, 7).sketches, sampled(100, 7).sketches);
  EXPECT_NE(sampled(100, 7).sketches, sampled(100, 8).sketches);
}

TEST_F(SampledCrashStatesTest, FindMostStatesIfThereAreEnoughRandomOnes) {
  EXPECT_GT(sampled(20000).exploration.states, 1250U);  // of 1296
}

TEST(CrashStatesTest, LoseAndKeepEachWriteWhenThereAreManyWrites) {
  constexpr int kWrites = 11;
  auto disk = disk_of(2 * kWrites);
  for (int i = 0; i < kWrites; ++i) {
    fill(disk, static_cast<std::uint64_t>(2 * i), 2, 1);
  }
  const auto with = [](int value, std::initializer_list<int> writes) {
    Sketch expected(2 * kWrites, 1 - value);
    for (const int write : writes) {
      std::fill_n(expected.begin() + 2 * write, 2, value);
    }
    return expected;
  };

  const auto visited = explore(disk, {.exhaustive_versions = 2, .random_states = 0}).sketches;

  EXPECT_THAT(visited, Contains(with(0, {3})));
  EXPECT_THAT(visited, Contains(with(1, {3})));
  EXPECT_THAT(visited, Not(Contains(with(1, {3, 7}))));
}

}  // namespace
}  // namespace tests::support
