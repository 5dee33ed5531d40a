// SPDX-License-Identifier: Apache-2.0
#include "keybroker/policy/release_policy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "vmgs/crypto/digest.h"

namespace keybroker::policy {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

// A document with one block that has these members beside its authority.
std::string block(const std::string& members) {
  return R"({"version":"1.0.0","anyOf":[{"authority":"https://a",)" + members + "}]}";
}

std::string all_of(const std::string& conditions) {
  return block("\"allOf\":[" + conditions + "]");
}

std::string refusal(const std::string& text, Compatibility compatibility = Compatibility::kStrict) {
  const auto policy = parse_release_policy(text, compatibility);
  if (policy) {
    return "accepted";
  }
  EXPECT_EQ(policy.error().code, base::ErrorCode::kInvalidArgument);
  EXPECT_THAT(policy.error().message, StartsWith("release policy: "));
  return policy.error().message;
}

// The policy that Azure gives to keys of confidential VMs, with one of its regional authorities.
constexpr const char* kAzureDefault = R"({
  "version": "1.0.0",
  "anyOf": [{
    "authority": "https://sharedweu.weu.attest.azure.net/",
    "allOf": [
      {"claim": "x-ms-compliance-status", "equals": "azure-compliant-cvm"},
      {"anyOf": [
        {"claim": "x-ms-attestation-type", "equals": "tdxvm"},
        {"claim": "x-ms-attestation-type", "equals": "sevsnpvm"}]}]
  }]
})";

constexpr const char* kEverything = R"({"version":"1.0.0","anyOf":[
  {"authority":"https://a","allOf":[
    {"claim":"a.b","equals":"x"},{"claim":"a","notEquals":-5},{"claim":"n","less":1},
    {"claim":"n","lessOrEquals":2},{"claim":"n","greater":3},
    {"claim":"n","greaterOrEquals":18446744073709551615},{"claim":"e","exists":false},
    {"claim":"i","in":["x",1,true]},{"claim":"m","matches":"a*?"},
    {"anyOf":[{"claim":"f","equals":true},{"allOf":[{"claim":"g","equals":""}]}]},
    {"minTcb":{"snp":{"Genoa":{"snp":24},"Milan":{"microcode":200,"tee":1},"Turin":{"fmc":1}},
      "tdx":{"statuses":["SWHardeningNeeded","UpToDate"],"min_date":"2024-03-13T00:00:00Z",
        "advisories":["INTEL-SA-00828"],"min_evaluation_number":17}}}]},
  {"authority":"https://b","anyOf":[{"minTcb":{"tdx":{"advisories":"any"}}}]}]})";

TEST(ReleasePolicyTest, TakesAzuresPoliciesUnchanged) {
  const auto policy = parse_release_policy(kAzureDefault, Compatibility::kStrict);

  ASSERT_TRUE(policy) << policy.error().message;
  ASSERT_EQ(policy->any_of.size(), 1U);
  const auto& block = policy->any_of.front();
  EXPECT_EQ(block.authority, "https://sharedweu.weu.attest.azure.net/");
  EXPECT_EQ(block.conditions.quantifier, Quantifier::kAllOf);
  ASSERT_EQ(block.conditions.members.size(), 2U);
  EXPECT_EQ(std::get<ClaimTest>(block.conditions.members[0].what),
            (ClaimTest{"x-ms-compliance-status",
                       Operator::kEquals,
                       {Scalar(std::string("azure-compliant-cvm"))}}));
  const auto& inner = std::get<Group>(block.conditions.members[1].what);
  EXPECT_EQ(inner.quantifier, Quantifier::kAnyOf);
  EXPECT_EQ(inner.members.size(), 2U);
}

TEST(ReleasePolicyTest, ReadsEachOperatorAndValue) {
  const auto policy = parse_release_policy(kEverything, Compatibility::kStrict);

  ASSERT_TRUE(policy) << policy.error().message;
  const auto& members = policy->any_of.front().conditions.members;
  const auto test = [&](std::size_t i) { return std::get<ClaimTest>(members.at(i).what); };
  const auto one = [](auto value) { return std::vector<Scalar>{Scalar(value)}; };
  EXPECT_EQ(test(0), (ClaimTest{"a.b", Operator::kEquals, one(std::string("x"))}));
  EXPECT_EQ(test(1), (ClaimTest{"a", Operator::kNotEquals, one(Number(std::int64_t{-5}))}));
  EXPECT_EQ(test(2).op, Operator::kLess);
  EXPECT_EQ(test(3).op, Operator::kLessOrEquals);
  EXPECT_EQ(test(4).op, Operator::kGreater);
  EXPECT_EQ(test(5), (ClaimTest{"n", Operator::kGreaterOrEquals, one(Number(~std::uint64_t{0}))}));
  EXPECT_EQ(test(6), (ClaimTest{"e", Operator::kExists, one(false)}));
  EXPECT_EQ(test(7),
            (ClaimTest{"i",
                       Operator::kIn,
                       {Scalar(std::string("x")), Scalar(Number(std::int64_t{1})), Scalar(true)}}));
  EXPECT_EQ(test(8), (ClaimTest{"m", Operator::kMatches, one(std::string("a*?"))}));
  EXPECT_EQ(std::get<Group>(members.at(9).what).members.size(), 2U);
  EXPECT_EQ(std::get<TcbFloor>(members.at(10).what).snp.size(), 3U);
}

TEST(ReleasePolicyTest, RefusesWhatTheGrammarDoesNotHave) {
  const std::vector<std::pair<std::string, std::string>> wrong{
      {"", "at byte 0"},
      {"[]", "the document is no object"},
      {"{}", "needs the member 'version'"},
      {R"({"version":1,"anyOf":[]})", "needs the member 'version'"},
      {R"({"version":"1.0.1","anyOf":[]})", "version '1.0.1'"},
      {R"({"version":"1.0.0"})", "needs 'anyOf'"},
      {R"({"version":"1.0.0","anyOf":{}})", "needs 'anyOf'"},
      {R"({"version":"1.0.0","anyOf":[]})", "needs 'anyOf'"},
      {R"({"version":"1.0.0","allOf":[]})", "'allOf', which is not known there"},
      {R"({"version":"1.0.0","anyOf":[1]})", "anyOf[0] is no object"},
      {R"({"version":"1.0.0","anyOf":[{"allOf":[{"claim":"a","equals":1}]}]})",
       "anyOf[0] needs the member 'authority'"},
      {R"({"version":"1.0.0","anyOf":[{"authority":"","allOf":[{"claim":"a","equals":1}]}]})",
       "anyOf[0] needs the member 'authority'"},
      {block(R"("note":1)"), "anyOf[0] has the member 'note'"},
      {block(R"("allOf":[{"claim":"a","equals":1}],"anyOf":[{"claim":"a","equals":1}])"),
       "anyOf[0] has both 'allOf' and 'anyOf'"},
      {R"({"version":"1.0.0","anyOf":[{"authority":"https://a"}]})",
       "anyOf[0] needs 'allOf' or 'anyOf'"},
      {all_of(""), "anyOf[0].allOf is no list of at least one condition"},
      {block(R"("anyOf":{"claim":"a","equals":1})"), "anyOf[0].anyOf is no list"},
      {all_of("7"), "anyOf[0].allOf[0] is no object"},
      {all_of("{}"), "anyOf[0].allOf[0] needs one of"},
      {all_of(R"({"claim":"a","equals":1},{"allOf":[]})"), "anyOf[0].allOf[1].allOf is no list"},
      {all_of(R"({"allOf":[{"claim":"a","equals":1}],"anyOf":[{"claim":"a","equals":1}]})"),
       "anyOf[0].allOf[0] has both"},
      {all_of(R"({"allOf":[{"claim":"a","equals":1}],"authority":"x"})"),
       "anyOf[0].allOf[0] has the member 'authority'"},
      {all_of(R"({"claim":"a"})"), "anyOf[0].allOf[0] has no operator"},
      {all_of(R"({"claim":7,"equals":1})"), "anyOf[0].allOf[0] needs the member 'claim'"},
      {all_of(R"({"claim":"","equals":1})"), "anyOf[0].allOf[0] needs the member 'claim'"},
      {all_of(R"({"claim":"a..b","equals":1})"), "anyOf[0].allOf[0] has a claim with an empty"},
      {all_of(R"({"claim":".a","equals":1})"), "anyOf[0].allOf[0] has a claim with an empty"},
      {all_of(R"({"claim":"a.","equals":1})"), "anyOf[0].allOf[0] has a claim with an empty"},
      {all_of(R"({"claim":")" + std::string(257, 'a') + R"(","equals":1})"), "more than 256"},
      {all_of(R"({"claim":"a","equal":1})"), "'equal', which is no operator"},
      {all_of(R"({"claim":"a","Equals":1})"), "'Equals', which is no operator"},
      {all_of(R"({"claim":"a","equals":1,"less":2})"), "has two operators"},
      {all_of(R"({"claim":"a","allOf":[]})"), "'allOf', which is no operator"},
      {all_of(R"({"claim":"a","minTcb":{}})"), "'minTcb', which is no operator"},
      {all_of(R"({"claim":"a","equals":null})"), "allOf[0].equals is no string"},
      {all_of(R"({"claim":"a","equals":1.5})"), "allOf[0].equals is no string"},
      {all_of(R"({"claim":"a","equals":[1]})"), "allOf[0].equals is no string"},
      {all_of(R"({"claim":"a","notEquals":{}})"), "allOf[0].notEquals is no string"},
      {all_of(R"({"claim":"a","less":"1"})"), "allOf[0].less is no number"},
      {all_of(R"({"claim":"a","lessOrEquals":true})"), "allOf[0].lessOrEquals is no number"},
      {all_of(R"({"claim":"a","greater":"x"})"), "allOf[0].greater is no number"},
      {all_of(R"({"claim":"a","greaterOrEquals":"x"})"), "allOf[0].greaterOrEquals is no number"},
      {all_of(R"({"claim":"a","exists":"true"})"), "allOf[0].exists is neither true nor false"},
      {all_of(R"({"claim":"a","in":"x"})"), "allOf[0].in is no list"},
      {all_of(R"({"claim":"a","in":[]})"), "allOf[0].in is no list"},
      {all_of(R"({"claim":"a","in":["x",null]})"), "allOf[0].in[1] is no string"},
      {all_of(R"({"claim":"a","matches":1})"), "allOf[0].matches is no pattern"},
      {all_of(R"({"claim":"a","matches":")" + std::string(257, '*') + R"("})"), "at most 256"},
      {all_of(R"({"minTcb":{},"claim":"a"})"), "'minTcb', which is no operator"},
      {all_of(R"({"minTcb":{"tdx":{}}})"), "allOf[0].minTcb.tdx is no object"},
      {all_of(R"({"minTcb":{"snp":{"Milan":{"snp":1}}},"allOf":[]})"), "'allOf', which is not"}};
  for (const auto& [text, why] : wrong) {
    EXPECT_THAT(refusal(text), HasSubstr(why)) << text;
  }
}

TEST(ReleasePolicyTest, RefusesMembersThatAreThereTwice) {
  EXPECT_THAT(refusal(all_of(R"({"claim":"a","equals":1,"equals":2})")),
              AllOf(HasSubstr("'equals' is there twice"), HasSubstr("anyOf[0].allOf[0]")));
  EXPECT_THAT(refusal(R"({"version":"1.0.0","version":"1.0.0","anyOf":[]})"),
              HasSubstr("'version' is there twice"));
}

TEST(ReleasePolicyTest, IsLimitedInSizeDepthAndCount) {
  // Of 16 levels of JSON, the document, its list and a block take three and the last condition one.
  const auto nested = [](int groups) {
    std::string text = R"({"claim":"a","equals":1})";
    for (int i = 0; i < groups; ++i) {
      text = R"({"allOf":[)" + text + "]}";
    }
    return all_of(text);
  };
  EXPECT_EQ(refusal(nested(5)), "accepted");
  EXPECT_THAT(refusal(nested(6)), HasSubstr("anyOf[0].allOf[0].allOf[0].allOf[0].allOf[0].allOf"));

  std::string many = R"({"claim":"a","equals":1})";
  for (std::size_t i = 2; i < kMaxConditions; ++i) {
    many += R"(,{"claim":"a","equals":1})";
  }
  EXPECT_EQ(refusal(all_of(many)), "accepted");
  EXPECT_THAT(refusal(all_of(many + R"(,{"claim":"a","equals":1})")),
              HasSubstr("anyOf[0].allOf[999] is one condition too many"));

  const auto wide = [](std::size_t size) {
    const auto without = all_of(R"({"claim":"a","equals":""})").size();
    return all_of(R"({"claim":"a","equals":")" + std::string(size - without, 'x') + "\"}");
  };
  EXPECT_EQ(refusal(wide(kMaxReleasePolicyBytes)), "accepted");
  EXPECT_THAT(refusal(wide(kMaxReleasePolicyBytes + 1)), HasSubstr("at most 65536"));
}

TEST(ReleasePolicyTest, TakesExistsAsAStringForAzureOnly) {
  const auto text = all_of(R"({"claim":"a","exists":"false"})");
  const auto policy = parse_release_policy(text, Compatibility::kAkv);

  ASSERT_TRUE(policy);
  EXPECT_EQ(std::get<ClaimTest>(policy->any_of[0].conditions.members[0].what).values,
            std::vector<Scalar>{Scalar(false)});
  EXPECT_THAT(refusal(text), HasSubstr("neither true nor false"));
  EXPECT_THAT(refusal(all_of(R"({"claim":"a","exists":"no"})"), Compatibility::kAkv),
              HasSubstr("neither true nor false"));
}

TEST(ReleasePolicyTest, HasOneCanonicalForm) {
  const auto policy = parse_release_policy(
      R"( {"anyOf":[{"allOf":[{"equals":1,"claim":"\u0061"},
           {"minTcb":{"tdx":{"advisories":"any"},"snp":{"Genoa":{"snp":1}}}}],
           "authority":"https://a"}],"version":"1.0.0"} )",
      Compatibility::kStrict);

  ASSERT_TRUE(policy);
  EXPECT_EQ(canonical_form(*policy),
            R"({"version":"1.0.0","anyOf":[{"authority":"https://a","allOf":[)"
            R"({"claim":"a","equals":1},)"
            R"({"minTcb":{"snp":{"Genoa":{"boot_loader":0,"tee":0,"snp":1,"microcode":0}},)"
            R"("tdx":{"statuses":["UpToDate"],"advisories":"any"}}}]}]})");
}

TEST(ReleasePolicyTest, ReadsItsCanonicalFormAsTheSamePolicy) {
  for (const auto compatibility : {Compatibility::kStrict, Compatibility::kAkv}) {
    for (const char* text : {kAzureDefault, kEverything}) {
      const auto policy = parse_release_policy(text, compatibility);
      ASSERT_TRUE(policy);

      const auto again = parse_release_policy(canonical_form(*policy), compatibility);

      ASSERT_TRUE(again) << again.error().message;
      EXPECT_EQ(*again, *policy);
      EXPECT_EQ(canonical_form(*again), canonical_form(*policy));
      EXPECT_EQ(policy_digest(*again), policy_digest(*policy));
    }
  }
}

TEST(ReleasePolicyTest, DigestIsOfTheCanonicalFormAndTheCompatibility) {
  auto policy = *parse_release_policy(kAzureDefault, Compatibility::kStrict);
  const auto expected = [&](std::string_view word) {
    const auto text = "strongroom.release-policy/1" + std::string(1, '\0') + std::string(word) +
                      std::string(1, '\0') + canonical_form(policy);
    return base::to_hex(vmgs::crypto::sha256(base::bytes_of(text)));
  };

  EXPECT_EQ(base::to_hex(policy_digest(policy)), expected("strict"));
  policy.compatibility = Compatibility::kAkv;
  EXPECT_EQ(base::to_hex(policy_digest(policy)), expected("akv"));
}

}  // namespace
}  // namespace keybroker::policy
