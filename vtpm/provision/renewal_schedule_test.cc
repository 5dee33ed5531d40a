// SPDX-License-Identifier: Apache-2.0
#include "vtpm/provision/renewal_schedule.h"

#include <gtest/gtest.h>

namespace vtpm::provision {
namespace {

using namespace std::chrono_literals;
using Schedule = RenewalSchedule;

const Schedule::Time kNow{1000h};
const std::chrono::sys_seconds kWall{std::chrono::hours(500'000)};

class RenewalScheduleTest : public testing::Test {
 protected:
  double spread_ = 0;
  Schedule schedule_{[this] { return spread_; }};
};

TEST_F(RenewalScheduleTest, AsksForNothingOfItself) { EXPECT_FALSE(schedule_.due()); }

TEST_F(RenewalScheduleTest, RenewsWhenTheIssuerSays) {
  schedule_.certified(kWall + 84h, kWall, kNow);
  EXPECT_EQ(schedule_.due(), kNow + 84h);
  schedule_.found(kWall + 84h, kWall, kNow);
  EXPECT_EQ(schedule_.due(), kNow + 84h);
}

TEST_F(RenewalScheduleTest, AnOverdueOneIsAskedForAtOnceAndThenNotInAStorm) {
  schedule_.found(kWall - 1h, kWall, kNow);
  EXPECT_EQ(schedule_.due(), kNow);
  // The clock of whoever issues it is behind.
  schedule_.certified(kWall - 1h, kWall, kNow);
  EXPECT_EQ(schedule_.due(), kNow + Schedule::kSoonest);
}

TEST_F(RenewalScheduleTest, NoWordOfAnIssuerPutsItOffForGood) {
  for (const auto at : {kWall + 24h * 365 * 100, std::chrono::sys_seconds::max()}) {
    schedule_.certified(at, kWall, kNow);
    EXPECT_EQ(schedule_.due(), kNow + Schedule::kLatest);
  }
  schedule_.found(std::chrono::sys_seconds(0s), kWall, kNow);
  EXPECT_EQ(schedule_.due(), kNow);
}

TEST_F(RenewalScheduleTest, AsksLaterAndLaterAfterFailures) {
  auto pause = Schedule::Duration(Schedule::kFirstPause);
  for (int i = 0; i < 12; ++i) {
    auto same = schedule_;
    spread_ = 0;
    schedule_.failed(kNow);
    EXPECT_EQ(schedule_.due(), kNow + pause / 2) << i;
    spread_ = 0.5;
    same.failed(kNow);
    EXPECT_EQ(same.due(), kNow + pause * 3 / 4) << i;
    pause = std::min<Schedule::Duration>(pause * 2, Schedule::kLongestPause);
  }
  EXPECT_EQ(pause, Schedule::kLongestPause);
  schedule_.certified(kWall + 84h, kWall, kNow);
  spread_ = 0;
  schedule_.failed(kNow);
  EXPECT_EQ(schedule_.due(), kNow + Schedule::kFirstPause / 2) << "it begins anew";
}

TEST_F(RenewalScheduleTest, ARefusalForGoodIsTheEnd) {
  schedule_.failed(kNow);
  schedule_.refused();
  EXPECT_FALSE(schedule_.due());
}

}  // namespace
}  // namespace vtpm::provision
