// SPDX-License-Identifier: Apache-2.0
#include "keybroker/broker/request_limit.h"

#include <gtest/gtest.h>

namespace keybroker::broker {
namespace {

const crypto::Time kNow = *crypto::parse_time("2026-11-22T07:00:00Z");
constexpr protocol::Uuid kVm{std::byte{1}};
constexpr protocol::Uuid kOther{std::byte{2}};

int taken(RequestLimit& limit, std::string_view caller, const protocol::Uuid& vm,
          crypto::Time now = kNow) {
  int count = 0;
  while (count < 100 && limit.take(caller, vm, now)) {
    ++count;
  }
  return count;
}

TEST(RequestLimitTest, WhatOneHostUsesUpForAVmIsNobodyElses) {
  RequestLimit limit;
  EXPECT_EQ(taken(limit, "host-1", kVm), 16);
  EXPECT_EQ(taken(limit, "host-1", kOther), 16);
  EXPECT_EQ(taken(limit, "host-2", kVm), 16);
  EXPECT_EQ(taken(limit, "host-1", kVm, kNow + std::chrono::seconds(2)), 1);
}

TEST(RequestLimitTest, AClockThatIsSetBackGivesNothing) {
  RequestLimit limit;
  EXPECT_EQ(taken(limit, "host-1", kVm), 16);
  EXPECT_EQ(taken(limit, "host-1", kVm, kNow - std::chrono::hours(1)), 0);
  EXPECT_EQ(taken(limit, "host-1", kVm), 0);
}

TEST(RequestLimitTest, LinesAboutStrangersHaveOneBudgetForAHost) {
  RequestLimit limit;
  int lines = 0;
  while (lines < 100 && limit.take_for_strangers("host-1", kNow)) {
    ++lines;
  }
  EXPECT_EQ(lines, 16);
  EXPECT_TRUE(limit.take_for_strangers("host-2", kNow));
  EXPECT_TRUE(limit.take("host-1", kVm, kNow));
}

// However many places they come from.
TEST(RequestLimitTest, LinesAboutGuestsHaveOneBudgetForAVm) {
  RequestLimit limit;
  int lines = 0;
  while (lines < 100 && limit.take_for_guests(kVm, kNow)) {
    ++lines;
  }
  EXPECT_EQ(lines, 16);
  EXPECT_EQ(limit.unwritten(), 1U);
  EXPECT_TRUE(limit.take_for_guests(kOther, kNow));
  EXPECT_TRUE(limit.take("host-1", kVm, kNow));
}

}  // namespace
}  // namespace keybroker::broker
