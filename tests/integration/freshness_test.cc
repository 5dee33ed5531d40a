// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <iostream>
#include <random>

#include "tests/integration/freshness_model.h"
#include "tests/support/record_fixture.h"

namespace tests::freshness {
namespace {

// The long form is for whoever changes the protocol: it takes memory, and long.
bool is_long() { return std::getenv("STRONGROOM_LONG_MODEL") != nullptr; }

std::string text_of(const std::optional<Violation>& violation) {
  std::string text;
  if (violation) {
    text = "property " + std::to_string(static_cast<int>(violation->property)) + "\n";
    for (const auto& step : violation->steps) {
      text += step + "\n";
    }
  }
  return text;
}

void expect_holds(const Bounds& bounds) {
  const auto explored = explore(bounds);

  EXPECT_FALSE(explored.violation) << text_of(explored.violation);
  EXPECT_GT(explored.served, 0U) << "nothing was shown";
  std::cout << explored.worlds << " worlds, " << explored.served << " with a boot served, "
            << explored.refused << " refusals\n";
}

TEST(FreshnessTest, AnHonestLineIsAlwaysAccepted) {
  expect_holds({.boots = is_long() ? 4 : 3, .slots = 1, .commits = is_long() ? 8 : 5});
}

TEST(FreshnessTest, AnHonestLineWithOfflineBootsIsAlwaysAccepted) {
  // What one offline boot leaves out shows in the next one, and is found by the boot after that.
  expect_holds({.boots = 4, .slots = 1, .commits = is_long() ? 5 : 4, .offline = true});
}

TEST(FreshnessTest, WhoHasTheStorageUndoesNothing) {
  expect_holds({.boots = 2, .slots = 3, .commits = is_long() ? 6 : 3});
  expect_holds({.boots = 3, .slots = is_long() ? 3 : 2, .commits = is_long() ? 6 : 2});
}

TEST(FreshnessTest, WhoHasTheStorageUndoesNothingByOfflineBoots) {
  expect_holds({.boots = 2, .slots = 2, .commits = is_long() ? 5 : 4, .offline = true});
}

TEST(FreshnessTest, WhoHasTheStorageUndoesNothingWhereACommitFails) {
  expect_holds(
      {.boots = 2, .slots = 2, .commits = is_long() ? 5 : 4, .offline = true, .reopens = true});
}

TEST(FreshnessTest, ARestoreIsCounted) {
  expect_holds(
      {.boots = is_long() ? 3 : 2, .slots = 2, .commits = is_long() ? 6 : 4, .restores = 1});
}

// Each fault of the protocol is found, by what it breaks.

struct Fault {
  const char* name;
  Bounds bounds;
  Property breaks;
};

class FreshnessMutantTest : public testing::TestWithParam<Fault> {};

TEST_P(FreshnessMutantTest, IsFound) {
  const auto explored = explore(GetParam().bounds);

  ASSERT_TRUE(explored.violation) << explored.worlds << " worlds";
  EXPECT_EQ(explored.violation->property, GetParam().breaks) << text_of(explored.violation);
  std::cout << text_of(explored.violation);
}

INSTANTIATE_TEST_SUITE_P(
    Faults, FreshnessMutantTest,
    testing::Values(
        Fault{"SequenceWithoutDigest",
              {.boots = 3, .slots = 2, .commits = 3, .mutant = Mutant::kSequenceWithoutDigest},
              Property::kNothingUndone},
        Fault{"AnchorBeforeDurable",
              {.boots = 3, .slots = 1, .commits = 4, .mutant = Mutant::kAnchorBeforeDurable},
              Property::kHonestAccepted},
        Fault{"PendingNotCarried",
              {.boots = 3, .slots = 1, .commits = 4, .mutant = Mutant::kPendingNotCarried},
              Property::kHonestAccepted},
        Fault{"FencingWithoutOwner",
              {.boots = 2, .slots = 2, .commits = 4, .mutant = Mutant::kFencingWithoutOwner},
              Property::kOneOwner},
        Fault{"ListenBeforeAnchor",
              {.boots = 3, .slots = 2, .commits = 4, .mutant = Mutant::kListenBeforeAnchor},
              Property::kNothingUndone},
        Fault{"NotedUnrecorded",
              {.boots = 4,
               .slots = 1,
               .commits = 4,
               .offline = true,
               .mutant = Mutant::kNotedUnrecorded},
              Property::kHonestAccepted},
        Fault{"ReopenedUnseen",
              {.boots = 2,
               .slots = 2,
               .commits = 4,
               .offline = true,
               .reopens = true,
               .mutant = Mutant::kReopenedUnseen},
              Property::kNothingUndone}),
    [](const testing::TestParamInfo<Fault>& tested) { return tested.param.name; });

// The rows of the model change as those of real records do, for whatever is asked of them.

using namespace tests::support;

class FreshnessRowTest : public RecordFixture {};

INSTANTIATE_TEST_SUITE_P(Engines, FreshnessRowTest, testing::Values(Engine::kSqlite), engine_name);

store::StatePoint state_of(const Point& point) {
  store::StatePoint state{.sequence = point.sequence};
  state.digest.fill(std::byte{point.state});
  return state;
}

TEST_P(FreshnessRowTest, IsThatOfRealRecords) {
  auto records = open();
  register_one(records);
  BrokerRow row;
  std::mt19937 random(20260101);
  const auto pick = [&](int least, int most) {
    return static_cast<Small>(std::uniform_int_distribution<int>(least, most)(random));
  };
  int claims = 0;
  int anchors = 0;
  Small used = 0;
  for (int step = 0; step < 600 && row.epoch < 200; ++step) {
    const auto boot = pick(1, 3);
    // As it is, or a little old.
    const auto seen = static_cast<Small>(row.epoch - (row.epoch == 0 ? 0 : pick(0, 3) / 3));
    const auto kind = pick(0, 9);
    if (kind < 3) {
      auto request = claim_of(boot, seen);
      request.nonce[0] = std::byte{static_cast<Small>(step)};
      request.nonce[1] = std::byte{static_cast<Small>(step >> 8)};
      const auto outcome = records.claim(request, act());
      const bool granted_here = row.claim(boot, seen);
      ASSERT_TRUE(outcome);
      ASSERT_EQ(std::holds_alternative<store::Claimed>(*outcome), granted_here) << "step " << step;
      claims += granted_here;
    } else if (kind < 9) {
      const auto near = row.anchor.sequence;
      const Point point{seen, static_cast<Small>(std::min(250, near + pick(0, 2))), pick(1, 250)};
      const bool used_restore = pick(0, 4) == 0;
      auto request = anchor_of(boot, point.epoch, point.sequence);
      request.state = state_of(point);
      request.used_restore = used_restore;
      const auto outcome = records.anchor(request, act());
      const bool granted_here = row.note(boot, point, used_restore);
      ASSERT_TRUE(outcome);
      ASSERT_EQ(std::holds_alternative<store::Anchored>(*outcome), granted_here) << "step " << step;
      anchors += granted_here;
      used = static_cast<Small>(used + (granted_here && used_restore));
    } else {
      row.allowed = {0, pick(1, 5), pick(1, 250)};
      ASSERT_TRUE(
          records.allow_restore(kVm, state_of(row.allowed), kNow + std::chrono::hours(1), act()));
    }
    const auto real = records.vm(kVm);
    ASSERT_TRUE(real);
    ASSERT_EQ(real->epoch, row.epoch);
    ASSERT_EQ(real->owner, row.owner == 0 ? std::nullopt : std::optional(support::boot(row.owner)));
    ASSERT_EQ(real->restores, row.restores);
    ASSERT_EQ(real->anchor.has_value(), row.anchor.is_there());
    if (real->anchor) {
      ASSERT_EQ(real->anchor->epoch, row.anchor.epoch);
      ASSERT_EQ(real->anchor->state, state_of(row.anchor));
    }
    ASSERT_EQ(real->restore.has_value(), row.allowed.is_there());
  }
  EXPECT_GT(claims, 30);
  EXPECT_GT(anchors, 30);
  EXPECT_GT(used, 3);
}

}  // namespace
}  // namespace tests::freshness
