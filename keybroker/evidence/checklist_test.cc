// SPDX-License-Identifier: Apache-2.0
#include "keybroker/evidence/checklist.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "keybroker/evidence/expectation.h"

namespace keybroker::evidence {
namespace {

TEST(ChecklistTest, AcceptsOnlyWhatWasCheckedAndPassed) {
  Checklist list;
  EXPECT_FALSE(list.accepted());
  list.not_asked("a", "nobody asked");
  EXPECT_FALSE(list.accepted());
  list.pass("b");
  EXPECT_TRUE(list.accepted());
  list.not_run("c", "something is missing");
  EXPECT_FALSE(list.accepted());
  EXPECT_EQ(list.first_failure(), nullptr);
}

TEST(ChecklistTest, NamesTheFirstFailureOfSeveral) {
  Checklist list;
  EXPECT_TRUE(list.judge("a", std::nullopt));
  EXPECT_FALSE(list.judge("b", Finding{Reason::kNonceEmpty, "it is empty"}));
  list.fail("c", Reason::kPcrSet, "");

  ASSERT_NE(list.first_failure(), nullptr);
  EXPECT_EQ(list.first_failure()->name, "b");
  EXPECT_EQ(list.first_failure()->reason, Reason::kNonceEmpty);
  EXPECT_EQ(list.first_failure()->detail, "it is empty");
  EXPECT_FALSE(list.accepted());
}

TEST(ReasonTest, CodesAreDistinctWordsAndComeBack) {
  std::set<std::string_view> codes;
  for (const auto& reason : all_reasons()) {
    EXPECT_TRUE(codes.insert(reason.code).second) << reason.code;
    EXPECT_TRUE(std::ranges::all_of(reason.code, [](char c) {
      return c == '-' || (c >= 'a' && c <= 'z');
    })) << reason.code;
    EXPECT_TRUE(reason.meaning.ends_with('.')) << reason.code;
    EXPECT_TRUE(reason.remedy.ends_with('.')) << reason.code;
    EXPECT_EQ(parse_reason(reason.code), reason.reason);
    EXPECT_EQ(card(reason.reason).code, reason.code);
  }
  EXPECT_FALSE(parse_reason("no-such-reason"));
}

TEST(ExpectationTest, NothingAndAnyAskNothing) {
  for (const auto& expectation : {Expectation{}, Expectation::any()}) {
    Checklist list;
    judge_expected(list, "a", expectation, {}, Reason::kPcrSet, "thing");
    EXPECT_EQ(list.checks()[0].outcome, Outcome::kNotAsked);
  }
}

TEST(ExpectationTest, AListTakesItsMembersInFull) {
  const auto judge = [](const Expectation& expectation, std::string_view value) {
    Checklist list;
    judge_expected(list, "a", expectation, base::bytes_of(value), Reason::kPcrSet, "thing");
    return list.accepted();
  };
  const auto two = Expectation::one_of(
      {base::copy_of(base::bytes_of("abc")), base::copy_of(base::bytes_of("de"))});
  EXPECT_TRUE(judge(two, "abc"));
  EXPECT_TRUE(judge(two, "de"));
  EXPECT_FALSE(judge(two, "ab"));
  EXPECT_FALSE(judge(two, "abcd"));
  EXPECT_FALSE(judge(two, ""));
  EXPECT_FALSE(judge(Expectation::one_of({}), ""));
}

}  // namespace
}  // namespace keybroker::evidence
