// SPDX-License-Identifier: Apache-2.0
#include "keybroker/policy/warnings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace keybroker::policy {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr const char* kNoDebug = R"({"claim":"strongroom-debug","equals":false})";
constexpr const char* kKnownImage = R"({"claim":"strongroom-measurement","equals":"aa"})";

std::vector<Warning> examined(const std::string& block,
                              Compatibility compatibility = Compatibility::kStrict) {
  const auto policy = parse_release_policy(
      R"({"version":"1.0.0","anyOf":[{"authority":"https://a",)" + block + "}]}", compatibility);
  EXPECT_TRUE(policy) << policy.error().message;
  return policy ? examine(*policy) : std::vector<Warning>{};
}

// "KIND PATH" of each warning.
std::vector<std::string> warnings(const std::string& block,
                                  Compatibility compatibility = Compatibility::kStrict) {
  std::vector<std::string> words;
  for (const auto& warning : examined(block, compatibility)) {
    words.push_back(std::string(name(warning.kind)) + " " + warning.path);
  }
  return words;
}

std::string all(std::initializer_list<std::string> conditions) {
  std::string list;
  for (const auto& each : conditions) {
    list += (list.empty() ? "" : ",") + each;
  }
  return "\"allOf\":[" + list + "]";
}

std::string any(std::initializer_list<std::string> conditions) {
  auto text = all(conditions);
  return text.replace(1, 3, "any");
}

std::string group(const std::string& inner) { return "{" + inner + "}"; }

// What is warned of beside two good conditions, of tests of the claim c.
std::vector<std::string> about(std::initializer_list<std::string> tests,
                               Compatibility compatibility = Compatibility::kStrict) {
  std::string conditions = std::string(kNoDebug) + "," + kKnownImage;
  for (const auto& test : tests) {
    conditions += R"(,{"claim":"c",)" + test + "}";
  }
  return warnings("\"allOf\":[" + conditions + "]", compatibility);
}

TEST(WarningsTest, HaveNothingToSayOfAGoodPolicy) {
  EXPECT_THAT(warnings(all({kNoDebug, kKnownImage})), IsEmpty());
  EXPECT_THAT(
      warnings(any({group(all({kNoDebug, kKnownImage})), group(all({kKnownImage, kNoDebug}))})),
      IsEmpty());
}

TEST(WarningsTest, MissACheckThatNotEveryWayHas) {
  EXPECT_THAT(warnings(all({kKnownImage})), ElementsAre("no-debug-check anyOf[0]"));
  EXPECT_THAT(warnings(all({kNoDebug})), ElementsAre("no-identity-check anyOf[0]"));
  EXPECT_THAT(warnings(any({kNoDebug, kKnownImage})),
              ElementsAre("no-debug-check anyOf[0]", "no-identity-check anyOf[0]"));
  EXPECT_THAT(warnings(all({kNoDebug, group(any({kKnownImage, R"({"claim":"x","equals":1})"}))})),
              ElementsAre("no-identity-check anyOf[0]"));
}

TEST(WarningsTest, KnowWhatChecksDebuggingAndWhatDoesNot) {
  for (const char* test :
       {R"("x-ms-sevsnpvm-is-debuggable","equals":false)",
        R"("x-ms-isolation-tee.x-ms-sevsnpvm-is-debuggable","equals":false)",
        R"("tdx_td_attributes_debug","notEquals":true)",
        R"("strongroom-snp-policy.debug","equals":false)", R"("dbgstat","equals":"disabled")"}) {
    EXPECT_THAT(warnings(all({kKnownImage, R"({"claim":)" + std::string(test) + "}"})), IsEmpty())
        << test;
  }
  for (const char* test :
       {R"("strongroom-debug","equals":true)", R"("strongroom-debug","notEquals":false)",
        R"("strongroom-debug","exists":true)", R"("strongroom-debug","in":[false,true])",
        R"("dbgstat","equals":"enabled")", R"("dbgstat","notEquals":"disabled")",
        R"("my-strongroom-debug","equals":false)"}) {
    EXPECT_THAT(warnings(all({kKnownImage, R"({"claim":)" + std::string(test) + "}"})),
                ElementsAre("no-debug-check anyOf[0]"))
        << test;
  }
}

TEST(WarningsTest, KnowWhatNamesAnImageAndWhatDoesNot) {
  for (const char* test :
       {R"("strongroom-launch-digest","in":["aa"])", R"("tdx_mrtd","equals":"aa")",
        R"("x-ms-isolation-tee.tdx_mrtd","equals":"aa")",
        R"("x-ms-sevsnpvm-idkeydigest","equals":"aa")",
        R"("x-ms-sevsnpvm-hostdata","matches":"aa*")"}) {
    EXPECT_THAT(warnings(all({kNoDebug, R"({"claim":)" + std::string(test) + "}"})), IsEmpty())
        << test;
  }
  for (const char* test :
       {R"("strongroom-measurement","exists":true)", R"("strongroom-measurement","notEquals":"a")",
        R"("strongroom-measurement","matches":"*")", R"("strongroom-measurement","matches":"?*")",
        R"("x-ms-attestation-type","equals":"sevsnpvm")"}) {
    EXPECT_THAT(warnings(all({kNoDebug, R"({"claim":)" + std::string(test) + "}"})),
                ElementsAre("no-identity-check anyOf[0]"))
        << test;
  }
}

TEST(WarningsTest, SpeakUpWhereASimulatorIsAccepted) {
  const auto naming = [](const std::string& value) {
    return warnings(all(
        {kNoDebug, kKnownImage, R"({"claim":"strongroom-root-class","equals":")" + value + "\"}"}));
  };
  EXPECT_THAT(naming("simulated"), ElementsAre("simulated-accepted anyOf[0].allOf[2]"));
  EXPECT_THAT(naming("production"), IsEmpty());
}

TEST(WarningsTest, SayWhatOnlyMicrosoftSays) {
  for (const char* claim :
       {"x-ms-compliance-status", "x-ms-isolation-tee.x-ms-compliance-status"}) {
    const auto found = examined(
        all({kNoDebug, kKnownImage,
             R"({"claim":")" + std::string(claim) + R"(","equals":"azure-compliant-cvm"})"}));
    ASSERT_EQ(found.size(), 1U) << claim;
    EXPECT_EQ(found[0].kind, WarningKind::kNeverHolds);
    EXPECT_EQ(found[0].path, "anyOf[0].allOf[2]");
    EXPECT_THAT(found[0].message, HasSubstr("only Microsoft says"));
  }
}

TEST(WarningsTest, NoticeUpperCaseDigits) {
  const std::vector<std::string> never{"never-holds anyOf[0].allOf[2]"};
  EXPECT_EQ(about({R"("equals":"00112233445566AA")"}), never);
  EXPECT_EQ(about({R"("in":["00112233445566AA","AA112233445566AA"])"}), never);
  EXPECT_THAT(about({R"("in":["00112233445566AA","x"])"}), IsEmpty());
  EXPECT_THAT(about({R"("equals":"00112233445566aa")"}), IsEmpty());
  EXPECT_THAT(about({R"("equals":"1122334455667788")"}), IsEmpty());
  EXPECT_THAT(about({R"("notEquals":"00112233445566AA")"}), IsEmpty());
}

TEST(WarningsTest, FindContradictions) {
  const std::vector<std::string> never{"never-holds anyOf[0].allOf[3]"};
  const std::vector<std::pair<std::string, std::string>> contradictions{
      {R"("equals":1)", R"("equals":2)"},
      {R"("equals":1)", R"("equals":"1")"},
      {R"("equals":1)", R"("notEquals":1)"},
      {R"("equals":1)", R"("in":[2,3])"},
      {R"("in":[1,2])", R"("in":[3])"},
      {R"("equals":1)", R"("exists":false)"},
      {R"("less":1)", R"("exists":false)"},
      {R"("exists":true)", R"("exists":false)"},
      {R"("equals":5)", R"("less":5)"},
      {R"("equals":5)", R"("greater":5)"},
      {R"("equals":5)", R"("lessOrEquals":4)"},
      {R"("equals":5)", R"("greaterOrEquals":6)"},
      {R"("in":[1,2])", R"("greater":2)"},
      {R"("equals":"x")", R"("greater":2)"},
      {R"("equals":"ab")", R"("matches":"b*")"},
      {R"("less":5)", R"("greater":5)"},
      {R"("lessOrEquals":5)", R"("greater":5)"},
      {R"("less":5)", R"("greaterOrEquals":5)"},
      {R"("lessOrEquals":5)", R"("greaterOrEquals":6)"}};
  for (const auto& [a, b] : contradictions) {
    EXPECT_EQ(about({a, b}), never) << a << " " << b;
    EXPECT_EQ(about({b, a}), never) << b << " " << a;
  }
  const std::vector<std::pair<std::string, std::string>> fine{
      {R"("equals":1)", R"("equals":1)"},
      {R"("equals":1)", R"("in":[1,2])"},
      {R"("equals":1)", R"("exists":true)"},
      {R"("equals":5)", R"("lessOrEquals":5)"},
      {R"("in":[1,9])", R"("greater":2)"},
      {R"("less":6)", R"("greater":4)"},
      {R"("lessOrEquals":5)", R"("greaterOrEquals":5)"},
      {R"("equals":"ab")", R"("matches":"a*")"},
      {R"("notEquals":1)", R"("less":1)"},
      {R"("exists":false)", R"("exists":false)"}};
  for (const auto& [a, b] : fine) {
    EXPECT_THAT(about({a, b}), IsEmpty()) << a << " " << b;
    EXPECT_THAT(about({b, a}), IsEmpty()) << b << " " << a;
  }
}

TEST(WarningsTest, ContradictionsReachIntoGroupsAndNoFurther) {
  const std::string one = R"({"claim":"c","equals":1})";
  const std::string two = R"({"claim":"c","equals":2})";
  const std::string good = std::string(kNoDebug) + "," + kKnownImage;

  EXPECT_THAT(warnings(all({good, one, group(any({two, one}))})),
              ElementsAre("never-holds anyOf[0].allOf[3].anyOf[0]"));
  // What stands behind a group holds together with it as well.
  EXPECT_THAT(warnings(all({good, group(any({two, one})), one})),
              ElementsAre("never-holds anyOf[0].allOf[2].anyOf[0]"));
  EXPECT_THAT(warnings(all({good, group(any({one, two}))})), IsEmpty());
  EXPECT_THAT(warnings(all({good, group(any({group(all({one})), group(all({two}))}))})), IsEmpty());
}

TEST(WarningsTest, TakeAzuresBooleansAsTheyAreMeant) {
  EXPECT_THAT(about({R"("equals":"true")", R"("equals":true)"}, Compatibility::kAkv), IsEmpty());
  EXPECT_THAT(about({R"("equals":"true")", R"("equals":true)"}),
              ElementsAre("never-holds anyOf[0].allOf[3]"));
}

}  // namespace
}  // namespace keybroker::policy
