// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <boost/json/parse.hpp>
#include <string>
#include <vector>

#include "keybroker/policy/decision.h"

// What each operator says of each type of claim. The rows are operators with a value, the columns
// claims, and the letters T and F; the column "none" is a claim that is missing.
namespace keybroker::policy {
namespace {

namespace json = boost::json;

const std::vector<std::string> kClaims{
    "none", "null",  "true",   "false",     "5",        "-5",         "18446744073709551615",
    "5.0",  R"("")", R"("5")", R"("true")", R"("abc")", R"({"x":5})", "[5]"};

struct Row {
  std::string test;  // the members beside the claim
  std::string strict;
  std::string akv;  // empty: as strict
};

// clang-format off
const std::vector<Row> kTable{
    //                              -- null true false 5 -5 max 5.0 "" "5" "true" "abc" {} []
    {R"("equals":5)",               "FFFFTFFFFFFFFF", ""},
    {R"("equals":-5)",              "FFFFFTFFFFFFFF", ""},
    {R"("equals":"5")",             "FFFFFFFFFTFFFF", ""},
    {R"("equals":"")",              "FFFFFFFFTFFFFF", ""},
    {R"("equals":true)",            "FFTFFFFFFFFFFF", "FFTFFFFFFFTFFF"},
    {R"("equals":"true")",          "FFFFFFFFFFTFFF", "FFTFFFFFFFTFFF"},
    {R"("equals":"false")",         "FFFFFFFFFFFFFF", "FFFTFFFFFFFFFF"},
    {R"("equals":18446744073709551615)", "FFFFFFTFFFFFFF", ""},
    {R"("notEquals":5)",            "FFFFFTTFFFFFFF", ""},
    {R"("notEquals":"5")",          "FFFFFFFFTFTTFF", ""},
    {R"("notEquals":true)",         "FFFTFFFFFFFFFF", ""},
    {R"("notEquals":"true")",       "FFFFFFFFTTFTFF", "FFFTFFFFTTFTFF"},
    {R"("less":5)",                 "FFFFFTFFFFFFFF", ""},
    {R"("lessOrEquals":5)",         "FFFFTTFFFFFFFF", ""},
    {R"("greater":5)",              "FFFFFFTFFFFFFF", ""},
    {R"("greaterOrEquals":5)",      "FFFFTFTFFFFFFF", ""},
    {R"("greater":-5)",             "FFFFTFTFFFFFFF", ""},
    {R"("exists":true)",            "FFTTTTTTTTTTTT", ""},
    {R"("exists":false)",           "TTFFFFFFFFFFFF", ""},
    {R"("in":[5,"abc"])",           "FFFFTFFFFFFTFF", ""},
    {R"("in":["true","5"])",        "FFFFFFFFFTTFFF", "FFTFFFFFFTTFFF"},
    {R"("in":[false])",             "FFFTFFFFFFFFFF", ""},
    {R"("matches":"*")",            "FFFFFFFFTTTTFF", ""},
    {R"("matches":"a*")",           "FFFFFFFFFFFTFF", ""},
    {R"("matches":"5")",            "FFFFFFFFFTFFFF", ""},
    {R"("matches":"????")",         "FFFFFFFFFFTFFF", ""},
};

// clang-format on

// A set of production with one claim, which stands in an object.
ClaimSet set_with(const std::string& claim) {
  auto set = json::parse(R"({"strongroom-root-class":"production","o":{}})").as_object();
  if (claim != "none") {
    set["o"].as_object()["c"] = json::parse(claim);
  }
  return {set};
}

bool holds(const std::string& conditions, const ClaimSet& claims,
           Compatibility compatibility = Compatibility::kStrict) {
  const auto policy = parse_release_policy(
      R"({"version":"1.0.0","anyOf":[{"authority":"https://a",)" + conditions + "}]}",
      compatibility);
  EXPECT_TRUE(policy) << policy.error().message;
  const auto decision = evaluate(*policy, claims, {"https://a"});
  EXPECT_EQ(decision.allowed, decision.blocks.front().conditions.holds);
  return decision.allowed;
}

std::string row_of(const std::string& test, Compatibility compatibility) {
  std::string row;
  for (const auto& claim : kClaims) {
    row += holds(R"("allOf":[{"claim":"o.c",)" + test + "}]", set_with(claim), compatibility) ? 'T'
                                                                                              : 'F';
  }
  return row;
}

TEST(TruthTableTest, HoldsForEachOperatorAndType) {
  for (const auto& row : kTable) {
    EXPECT_EQ(row_of(row.test, Compatibility::kStrict), row.strict) << row.test;
  }
}

TEST(TruthTableTest, HoldsForAzuresBooleansWhereTheCallerSaysSo) {
  for (const auto& row : kTable) {
    EXPECT_EQ(row_of(row.test, Compatibility::kAkv), row.akv.empty() ? row.strict : row.akv)
        << row.test;
  }
}

TEST(TruthTableTest, HasEachOperator) {
  for (const char* op : {"equals", "notEquals", "less", "lessOrEquals", "greater",
                         "greaterOrEquals", "exists", "in", "matches"}) {
    std::size_t rows = 0;
    for (const auto& row : kTable) {
      rows += row.test.starts_with("\"" + std::string(op) + "\":") ? 1 : 0;
    }
    EXPECT_GE(rows, 1U) << op;
  }
}

// Three tests of which each claim decides one; the letters are those of 000, 001, ... 111.
std::string groups(const std::string& conditions) {
  std::string row;
  for (unsigned bits = 0; bits < 8; ++bits) {
    json::object set{{"strongroom-root-class", "production"},
                     {"a", (bits & 4U) != 0},
                     {"b", (bits & 2U) != 0},
                     {"c", (bits & 1U) != 0}};
    row += holds(conditions, {set}) ? 'T' : 'F';
  }
  return row;
}

TEST(TruthTableTest, HoldsForGroupsInGroups) {
  const std::string a = R"({"claim":"a","equals":true})";
  const std::string b = R"({"claim":"b","equals":true})";
  const std::string c = R"({"claim":"c","equals":true})";
  const auto all = [](const std::string& members) { return "\"allOf\":[" + members + "]"; };
  const auto any = [](const std::string& members) { return "\"anyOf\":[" + members + "]"; };
  const auto group = [](const std::string& inner) { return "{" + inner + "}"; };

  EXPECT_EQ(groups(all(a)), "FFFFTTTT");
  EXPECT_EQ(groups(any(a)), "FFFFTTTT");
  EXPECT_EQ(groups(all(a + "," + b + "," + c)), "FFFFFFFT");
  EXPECT_EQ(groups(any(a + "," + b + "," + c)), "FTTTTTTT");
  EXPECT_EQ(groups(all(a + "," + group(any(b + "," + c)))), "FFFFFTTT");
  EXPECT_EQ(groups(any(a + "," + group(all(b + "," + c)))), "FFFTTTTT");
  EXPECT_EQ(groups(all(group(any(a + "," + b)) + "," + group(any(b + "," + c)))), "FFTTFTTT");
  EXPECT_EQ(groups(any(group(all(a + "," + group(any(group(all(b)) + "," + c)))))), "FFFFFTTT");
}

TEST(TruthTableTest, GroupsWithoutConditionsNeverHold) {
  for (const auto quantifier : {Quantifier::kAllOf, Quantifier::kAnyOf}) {
    const ReleasePolicy policy{Compatibility::kStrict, {{"https://a", {quantifier, {}}}}};
    const auto decision = evaluate(policy, set_with("5"), {"https://a"});
    EXPECT_FALSE(decision.allowed);
    EXPECT_EQ(decision.decided_by(), "anyOf[0]");
    EXPECT_EQ(decision.why(), "denied: anyOf[0] has no condition");
  }
  const auto decision = evaluate({}, set_with("5"), {"https://a"});
  EXPECT_FALSE(decision.allowed);
  EXPECT_EQ(decision.decided_by(), "");
  EXPECT_EQ(decision.why(), "denied: the policy has no authority");
}

}  // namespace
}  // namespace keybroker::policy
