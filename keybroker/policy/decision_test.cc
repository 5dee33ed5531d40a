// SPDX-License-Identifier: Apache-2.0
#include "keybroker/policy/decision.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include "vmgs/base/bytes.h"

namespace keybroker::policy {
namespace {

namespace json = boost::json;
using ::testing::HasSubstr;

const std::set<std::string> kOurs{"https://broker.example/", "https://broker.example"};

ReleasePolicy parsed(const std::string& text) {
  const auto policy = parse_release_policy(text, Compatibility::kStrict);
  EXPECT_TRUE(policy) << policy.error().message;
  return policy ? *policy : ReleasePolicy{};
}

// A policy of one block of our authority with these members.
ReleasePolicy policy_of(const std::string& members) {
  return parsed(R"({"version":"1.0.0","anyOf":[{"authority":"https://broker.example/",)" + members +
                "}]}");
}

ClaimSet claims_of(const std::string& text) { return {json::parse(text).as_object()}; }

ClaimSet production(const std::string& members) {
  return claims_of(R"({"strongroom-root-class":"production",)" + members + "}");
}

ClaimSet simulated(const std::string& members) {
  return claims_of(R"({"strongroom-root-class":"simulated",)" + members + "}");
}

constexpr const char* kA = R"({"claim":"a","equals":1})";
constexpr const char* kB = R"({"claim":"b","equals":2})";
constexpr const char* kSimulated = R"({"claim":"strongroom-root-class","equals":"simulated"})";

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

TEST(DecisionTest, NamesTheClauseThatDenied) {
  const auto policy = policy_of(all({kA, kB, R"({"claim":"x.y","equals":"z"})"}));

  const auto wrong = evaluate(policy, production(R"("a":1,"b":3,"x":{"y":"z"})"), kOurs);
  EXPECT_FALSE(wrong.allowed);
  EXPECT_EQ(wrong.decided_by(), "anyOf[0].allOf[1]");
  EXPECT_EQ(wrong.why(), "denied: anyOf[0].allOf[1] wants b equals 2, and it is 3");

  const auto missing = evaluate(policy, production(R"("a":1,"b":2,"x":5)"), kOurs);
  EXPECT_EQ(missing.why(),
            "denied: anyOf[0].allOf[2] wants x.y equals \"z\", and the claim is missing");

  const auto typed = evaluate(policy, production(R"("a":"1","b":2,"x":{"y":"z"})"), kOurs);
  EXPECT_EQ(typed.why(),
            "denied: anyOf[0].allOf[0] wants a equals 1, and the claim is a string, the policy has "
            "a number");
}

TEST(DecisionTest, NamesTheFirstAlternativeWhereNoneHolds) {
  const auto policy = policy_of(all({kA, group(any({kB, R"({"claim":"b","equals":4})"}))}));

  const auto decision = evaluate(policy, production(R"("a":1,"b":3)"), kOurs);

  EXPECT_EQ(decision.decided_by(), "anyOf[0].allOf[1].anyOf[0]");
  EXPECT_EQ(decision.why(),
            "denied: anyOf[0].allOf[1].anyOf[0] wants b equals 2, and it is 3; no alternative "
            "holds either");
}

TEST(DecisionTest, NamesWhatAllowed) {
  const auto by_all = evaluate(policy_of(all({kA})), production(R"("a":1)"), kOurs);
  EXPECT_TRUE(by_all.allowed);
  EXPECT_EQ(by_all.decided_by(), "anyOf[0]");
  EXPECT_EQ(by_all.why(),
            "allowed: each condition of anyOf[0] holds for the authority "
            "'https://broker.example/'");

  const auto by_any = evaluate(policy_of(any({kB, kA})), production(R"("a":1)"), kOurs);
  EXPECT_TRUE(by_any.allowed);
  EXPECT_EQ(by_any.decided_by(), "anyOf[0].anyOf[1]");
  EXPECT_THAT(by_any.why(), HasSubstr("anyOf[0].anyOf[1] holds for the authority"));
}

TEST(DecisionTest, TraceHasEveryConditionWhateverDecided) {
  const auto policy = policy_of(all({kA, group(any({kB, R"({"claim":"c","exists":false})"}))}));

  const auto decision = evaluate(policy, production(R"("a":7,"b":"x")"), kOurs);

  ASSERT_EQ(decision.blocks.size(), 1U);
  const auto& root = decision.blocks[0].conditions;
  EXPECT_FALSE(root.holds);
  ASSERT_EQ(root.members.size(), 2U);
  EXPECT_EQ(root.members[0].path, "anyOf[0].allOf[0]");
  EXPECT_EQ(root.members[0].claim, "a");
  EXPECT_EQ(root.members[0].op, "equals");
  EXPECT_EQ(root.members[0].expected, "1");
  EXPECT_EQ(root.members[0].seen, "7");
  EXPECT_FALSE(root.members[0].holds);
  const auto& inner = root.members[1];
  EXPECT_EQ(inner.op, "anyOf");
  EXPECT_TRUE(inner.holds);
  ASSERT_EQ(inner.members.size(), 2U);
  EXPECT_FALSE(inner.members[0].holds);
  EXPECT_EQ(inner.members[0].seen, "\"x\"");
  EXPECT_EQ(inner.members[1].path, "anyOf[0].allOf[1].anyOf[1]");
  EXPECT_EQ(inner.members[1].expected, "false");
  EXPECT_EQ(inner.members[1].seen, std::nullopt);
  EXPECT_TRUE(inner.members[1].holds);
}

TEST(DecisionTest, BlockOfAnotherAuthorityNeverHolds) {
  const auto two = [](const std::string& first, const std::string& second) {
    return parsed(R"({"version":"1.0.0","anyOf":[{"authority":")" + first + "\"," + all({kA}) +
                  R"(},{"authority":")" + second + "\"," + all({kB}) + "}]}");
  };
  const auto claims = production(R"("a":1,"b":0)");

  EXPECT_TRUE(evaluate(two("https://broker.example", "https://x"), claims, kOurs).allowed);
  for (const char* other : {"https://x", "https://broker.example/x", "https://BROKER.example",
                            "https://broker.example//"}) {
    const auto decision = evaluate(two(other, "https://y"), claims, kOurs);
    EXPECT_FALSE(decision.allowed) << other;
    EXPECT_EQ(decision.decided_by(), "anyOf[0]");
    EXPECT_THAT(decision.why(), HasSubstr("for the authority '" + std::string(other) + "'"));
  }
  // The block that is ours says more than the one that came first.
  const auto second = evaluate(two("https://x", "https://broker.example"), claims, kOurs);
  EXPECT_FALSE(second.allowed);
  EXPECT_EQ(second.decided_by(), "anyOf[1].allOf[0]");
  EXPECT_FALSE(evaluate(two("https://broker.example", "https://x"), claims, {}).allowed);
}

// The rule for evidence that no hardware made: a row for each way of naming the root class.
TEST(DecisionTest, SimulatedMachineNeedsAClauseThatNamesIt) {
  const auto says = [](const std::string& members, const std::string& root_class = "simulated") {
    const auto claims =
        claims_of(R"({"strongroom-root-class":")" + root_class + R"(","a":1,"b":2})");
    return evaluate(policy_of(members), claims, kOurs).allowed;
  };
  const std::string wrong = R"({"claim":"a","equals":9})";
  const auto root = [](const std::string& test) {
    return R"({"claim":"strongroom-root-class",)" + test + "}";
  };

  EXPECT_FALSE(says(all({kA})));
  EXPECT_FALSE(says(any({kA, kB})));
  EXPECT_TRUE(says(all({kA, kSimulated})));
  EXPECT_TRUE(says(all({kSimulated})));
  EXPECT_TRUE(says(any({kSimulated, wrong})));
  EXPECT_TRUE(says(any({kSimulated, kA})));  // one way by which it holds is the clause
  EXPECT_FALSE(says(all({wrong, kSimulated})));
  EXPECT_TRUE(says(all({kA, group(any({kSimulated, kB}))})));
  EXPECT_TRUE(says(any({kA, group(all({kSimulated, kB}))})));
  EXPECT_FALSE(says(any({kA, group(all({kSimulated, wrong}))})));  // the clause holds, its way not
  EXPECT_FALSE(says(all({kA, group(any({group(all({kSimulated, wrong})), kB}))})));
  // Nothing else names it, though it is true of it.
  EXPECT_FALSE(says(all({kA, root(R"("in":["simulated","production"])")})));
  EXPECT_FALSE(says(all({kA, root(R"("matches":"simulated")")})));
  EXPECT_FALSE(says(all({kA, root(R"("notEquals":"production")")})));
  EXPECT_FALSE(says(all({kA, root(R"("exists":true)")})));
  EXPECT_FALSE(says(all({kA, root(R"("equals":"production")")})));
  // Of production nothing is asked, and what is asked must hold.
  EXPECT_TRUE(says(all({kA}), "production"));
  EXPECT_FALSE(says(all({kA, kSimulated}), "production"));
  EXPECT_TRUE(says(any({kA, kSimulated}), "production"));
  // A class that nobody knows is not production.
  EXPECT_FALSE(says(all({kA}), "Production"));
  EXPECT_FALSE(says(all({kA, kSimulated}), "staging"));
}

TEST(DecisionTest, ClaimsWithoutARootClassAreDenied) {
  EXPECT_FALSE(evaluate(policy_of(all({kA})), claims_of(R"({"a":1})"), kOurs).allowed);
  const auto odd = claims_of(R"({"a":1,"strongroom-root-class":7})");
  EXPECT_FALSE(
      evaluate(policy_of(all({kA, R"({"claim":"strongroom-root-class","equals":7})"})), odd, kOurs)
          .allowed);
}

TEST(DecisionTest, SaysThatTheRootClassDenied) {
  const auto decision = evaluate(policy_of(any({kB, kA})), simulated(R"("a":1)"), kOurs);

  EXPECT_EQ(decision.root_class, "simulated");
  EXPECT_TRUE(decision.blocks[0].conditions.holds);
  EXPECT_FALSE(decision.blocks[0].root_class_accepted);
  EXPECT_EQ(decision.decided_by(), "anyOf[0]");
  EXPECT_EQ(decision.why(),
            "denied: anyOf[0] holds, but the root class is 'simulated' and no condition it holds "
            "by names it");
}

TEST(DecisionTest, NamesTheWayThatNamesTheRootClass) {
  const auto policy = policy_of(any({kA, kSimulated}));

  EXPECT_EQ(evaluate(policy, simulated(R"("a":1)"), kOurs).decided_by(), "anyOf[0].anyOf[1]");
  EXPECT_EQ(evaluate(policy, production(R"("a":1)"), kOurs).decided_by(), "anyOf[0].anyOf[0]");
}

TEST(DecisionTest, CutsWhatItShowsOfHostileClaims) {
  // The euro sign has three bytes, and the cut may not leave a part of it.
  std::string text;
  while (text.size() < 3000) {
    text += "\xE2\x82\xAC";
  }
  json::array list(5000, json::value("x"));
  ClaimSet claims{{{"strongroom-root-class", "production"}, {"a", text}, {"b", list}}};
  std::string values;
  for (int i = 0; i < 2000; ++i) {
    values += (i == 0 ? "" : ",") + std::to_string(i);
  }

  const auto decision = evaluate(policy_of(all({kA, kB, R"({"claim":"c","in":[)" + values + "]}",
                                                R"({"claim":"d","equals":")" + text + "\"}"})),
                                 claims, kOurs);

  const auto& members = decision.blocks[0].conditions.members;
  EXPECT_LT(members[0].seen->size(), kMaxShownBytes + 40);
  EXPECT_THAT(*members[0].seen, HasSubstr("\xE2\x82\xAC\"... (3000 bytes)"));
  EXPECT_EQ(members[1].seen, "a list with 5000 entries");
  EXPECT_LT(members[2].expected.size(), kMaxShownBytes + 40);
  EXPECT_THAT(members[2].expected, HasSubstr("... (2000 values)"));
  EXPECT_LT(members[3].expected.size(), kMaxShownBytes + 40);
  EXPECT_TRUE(json::parse(json::serialize(to_json(decision))).is_object());
}

TEST(DecisionTest, LongClaimsMatchNoPattern) {
  const auto allowed = [](std::size_t size) {
    const ClaimSet claims{{{"strongroom-root-class", "production"}, {"a", std::string(size, 'x')}}};
    return evaluate(policy_of(all({R"({"claim":"a","matches":"*"})"})), claims, kOurs).allowed;
  };
  EXPECT_TRUE(allowed(kMaxMatchedBytes));
  EXPECT_FALSE(allowed(kMaxMatchedBytes + 1));
}

TEST(DecisionTest, EncodesAsJson) {
  const auto policy = policy_of(all({kA, group(any({kB}))}));
  const auto decision = evaluate(policy, production(R"("a":"1")"), kOurs);

  const auto expected = R"({"allowed":false,
    "why":"denied: anyOf[0].allOf[0] wants a equals 1, and the claim is a string, the policy has a number",
    "decided_by":"anyOf[0].allOf[0]","policy_digest":")" +
                        base::to_hex(policy_digest(policy)) + R"(","root_class":"production",
    "blocks":[{"authority":"https://broker.example/","authority_accepted":true,
      "root_class_accepted":true,"holds":false,
      "conditions":{"path":"anyOf[0]","operator":"allOf","holds":false,"members":[
        {"path":"anyOf[0].allOf[0]","operator":"equals","holds":false,"claim":"a","expected":"1",
         "seen":"\"1\"","note":"the claim is a string, the policy has a number"},
        {"path":"anyOf[0].allOf[1]","operator":"anyOf","holds":false,"members":[
          {"path":"anyOf[0].allOf[1].anyOf[0]","operator":"equals","holds":false,"claim":"b",
           "expected":"2","seen":null,"note":"the claim is missing"}]}]}}]})";
  EXPECT_EQ(to_json(decision), json::parse(expected)) << json::serialize(to_json(decision));
}

TEST(JointDecisionTest, EveryOwnerMustAllow) {
  const std::vector<OwnedPolicy> policies{{"bank", policy_of(all({kA}))},
                                          {"insurer", policy_of(all({kB}))}};
  const auto says = [&](const std::string& members) {
    return evaluate_all(policies, production(members), kOurs);
  };

  EXPECT_TRUE(says(R"("a":1,"b":2)").allowed);
  EXPECT_FALSE(says(R"("a":1,"b":0)").allowed);
  EXPECT_FALSE(says(R"("a":0,"b":2)").allowed);
  EXPECT_FALSE(says(R"("a":0,"b":0)").allowed);
  EXPECT_EQ(says(R"("a":1,"b":2)").why(), "allowed: each of 2 owners allows it");
  EXPECT_EQ(says(R"("a":0,"b":0)").why(), "denied by bank, insurer");
}

TEST(JointDecisionTest, EachOwnerHasADecisionOfItsOwn) {
  const std::vector<OwnedPolicy> policies{{"bank", policy_of(all({kA}))},
                                          {"insurer", policy_of(all({kB}))}};

  const auto joint = evaluate_all(policies, production(R"("a":1,"b":3)"), kOurs);

  ASSERT_EQ(joint.owners.size(), 2U);
  EXPECT_EQ(joint.owners[0].owner, "bank");
  EXPECT_TRUE(joint.owners[0].decision.allowed);
  EXPECT_THAT(json::serialize(to_json(joint.owners[0].decision)), Not(HasSubstr("\"b\"")));
  EXPECT_FALSE(joint.owners[1].decision.allowed);
  EXPECT_EQ(joint.owners[1].decision.decided_by(), "anyOf[0].allOf[0]");
  EXPECT_EQ(joint.why(), "denied by insurer");
}

TEST(JointDecisionTest, NothingIsAllowedWithoutAnOwner) {
  const auto joint = evaluate_all({}, production(R"("a":1)"), kOurs);

  EXPECT_FALSE(joint.allowed);
  EXPECT_EQ(joint.why(), "denied: no owner has a policy for it");
}

}  // namespace
}  // namespace keybroker::policy
