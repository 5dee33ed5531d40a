// SPDX-License-Identifier: Apache-2.0
#include "keybroker/authority/request_budget.h"

#include <gtest/gtest.h>

namespace keybroker::authority {
namespace {

using std::chrono::seconds;

constexpr protocol::Uuid kVm{std::byte{1}};
constexpr protocol::Uuid kOther{std::byte{2}};

int taken(RequestBudget& budget, const protocol::Uuid& vm, RequestBudget::Time now) {
  int count = 0;
  while (count < 100 && budget.take(vm, now)) {
    ++count;
  }
  return count;
}

TEST(RequestBudgetTest, AVmAsksSixteenTimesAtOnce) {
  RequestBudget budget;
  const RequestBudget::Time now{};
  EXPECT_EQ(taken(budget, kVm, now), 16);
  EXPECT_EQ(taken(budget, kOther, now), 16) << "what one VM uses up is not another's";
}

TEST(RequestBudgetTest, TheBudgetComesBackByTheTwoSeconds) {
  RequestBudget budget;
  const RequestBudget::Time now{};
  taken(budget, kVm, now);
  EXPECT_EQ(taken(budget, kVm, now + seconds(1)), 0);
  EXPECT_EQ(taken(budget, kVm, now + seconds(2)), 1);
  EXPECT_EQ(taken(budget, kVm, now + seconds(8)), 3);
  EXPECT_EQ(taken(budget, kVm, now + seconds(1000)), 16) << "it does not grow";
}

TEST(RequestBudgetTest, WhatIsNotForgottenYetIsWholeAllTheSame) {
  using std::chrono::milliseconds;
  RequestBudget budget;
  const RequestBudget::Time now{};
  EXPECT_TRUE(budget.take(kOther, now));
  EXPECT_TRUE(budget.take(kVm, now + milliseconds(500)));
  EXPECT_TRUE(budget.take(kOther, now + milliseconds(2400)));
  EXPECT_EQ(taken(budget, kVm, now + milliseconds(3900)), 16);
  EXPECT_EQ(taken(budget, kVm, now + milliseconds(4600)), 0) << "it does not grow";
}

TEST(RequestBudgetTest, ForgetsAVmWhoseBudgetIsWhole) {
  RequestBudget budget;
  const RequestBudget::Time now{};
  EXPECT_TRUE(budget.take(kVm, now));
  EXPECT_TRUE(budget.take(kOther, now + seconds(2)));
  EXPECT_EQ(budget.remembered(), 1U);
}

}  // namespace
}  // namespace keybroker::authority
