// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <string>
#include <vector>

#include "keybroker/policy/decision.h"

// Each clause of a policy must matter: taken out, it changes the decision of some case. The test
// finds the clauses itself, so a clause that is added to a policy here needs a case that it
// decides.
namespace keybroker::policy {
namespace {

namespace json = boost::json;

// A change to the claims of the case that all others start from: claims that are replaced, or with
// null removed.
struct Case {
  std::string change;
  bool allowed;
};

struct Example {
  std::string name;
  std::string policy;
  Compatibility compatibility;
  std::string claims;
  std::vector<Case> cases;
};

const std::vector<Example> kExamples{
    {"what Azure gives to keys of confidential VMs, said with claims that we have",
     R"({"version":"1.0.0","anyOf":[
         {"authority":"https://a","allOf":[
           {"claim":"x-ms-sevsnpvm-is-debuggable","equals":"false"},
           {"claim":"x-ms-sevsnpvm-vmpl","equals":0},
           {"anyOf":[{"claim":"x-ms-sevsnpvm-idkeydigest","equals":"aa"},
                     {"claim":"x-ms-sevsnpvm-idkeydigest","equals":"bb"}]}]},
         {"authority":"https://a","allOf":[
           {"claim":"x-ms-attestation-type","equals":"tdxvm"},
           {"claim":"tdx_td_attributes_debug","equals":"false"},
           {"claim":"tdx_mrtd","equals":"cc"}]}]})",
     Compatibility::kAkv,
     R"({"strongroom-root-class":"production","x-ms-sevsnpvm-is-debuggable":false,
         "x-ms-sevsnpvm-vmpl":0,"x-ms-sevsnpvm-idkeydigest":"aa"})",
     {{"{}", true},
      {R"({"x-ms-sevsnpvm-is-debuggable":true})", false},
      {R"({"x-ms-sevsnpvm-vmpl":2})", false},
      {R"({"x-ms-sevsnpvm-idkeydigest":"bb"})", true},
      {R"({"x-ms-sevsnpvm-idkeydigest":"dd"})", false},
      {R"({"x-ms-sevsnpvm-vmpl":null,"x-ms-attestation-type":"tdxvm",
           "tdx_td_attributes_debug":false,"tdx_mrtd":"cc"})",
       true},
      {R"({"x-ms-sevsnpvm-vmpl":null,"x-ms-attestation-type":"azurevm",
           "tdx_td_attributes_debug":false,"tdx_mrtd":"cc"})",
       false},
      {R"({"x-ms-sevsnpvm-vmpl":null,"x-ms-attestation-type":"tdxvm",
           "tdx_td_attributes_debug":true,"tdx_mrtd":"cc"})",
       false},
      {R"({"x-ms-sevsnpvm-vmpl":null,"x-ms-attestation-type":"tdxvm",
           "tdx_td_attributes_debug":false,"tdx_mrtd":"dd"})",
       false}}},
    {"every operator",
     R"({"version":"1.0.0","anyOf":[{"authority":"https://a","allOf":[
           {"claim":"strongroom-measurement","in":["aa","bb"]},
           {"claim":"strongroom-freshness","notEquals":"offline"},
           {"claim":"strongroom-restores","less":3},
           {"claim":"strongroom-epoch","greater":0},
           {"claim":"strongroom-snp-tcb.committed.microcode","greaterOrEquals":200},
           {"claim":"x-ms-sevsnpvm-vmpl","lessOrEquals":1},
           {"claim":"strongroom-region","matches":"eu-*"},
           {"claim":"strongroom-snp-csp","exists":false},
           {"claim":"strongroom-chip-id","exists":true},
           {"minTcb":{"snp":{"Milan":{"snp":8}}}}]}]})",
     Compatibility::kStrict,
     R"({"strongroom-root-class":"production","strongroom-tee":"sev-snp",
         "strongroom-measurement":"aa","strongroom-freshness":"fresh","strongroom-restores":0,
         "strongroom-epoch":5,"x-ms-sevsnpvm-vmpl":0,"strongroom-region":"eu-1",
         "strongroom-chip-id":"c1","strongroom-snp-product":"Milan","strongroom-snp-tcb":{
           "reported":{"boot_loader":1,"tee":0,"snp":8,"microcode":210},
           "launch":{"boot_loader":1,"tee":0,"snp":8,"microcode":210},
           "committed":{"boot_loader":1,"tee":0,"snp":8,"microcode":210}}})",
     {{"{}", true},
      {R"({"strongroom-measurement":"cc"})", false},
      {R"({"strongroom-freshness":"offline"})", false},
      {R"({"strongroom-restores":3})", false},
      {R"({"strongroom-epoch":0})", false},
      {R"({"strongroom-snp-tcb":{
           "reported":{"boot_loader":1,"tee":0,"snp":8,"microcode":210},
           "launch":{"boot_loader":1,"tee":0,"snp":8,"microcode":210},
           "committed":{"microcode":199}}})",
       false},
      {R"({"x-ms-sevsnpvm-vmpl":2})", false},
      {R"({"strongroom-region":"us-1"})", false},
      {R"({"strongroom-snp-csp":"CN=cc"})", false},
      {R"({"strongroom-chip-id":null})", false},
      {R"({"strongroom-snp-product":"Genoa"})", false}}},
    {"a machine of the development floor, named",
     R"({"version":"1.0.0","anyOf":[
         {"authority":"https://elsewhere","anyOf":[{"claim":"strongroom-tee","exists":true}]},
         {"authority":"https://a","anyOf":[
           {"allOf":[{"claim":"strongroom-root-class","equals":"simulated"},
                     {"claim":"strongroom-tenant","equals":"development"}]},
           {"allOf":[{"claim":"strongroom-debug","equals":false},
                     {"anyOf":[{"claim":"strongroom-tee","equals":"tdx"},
                               {"claim":"strongroom-measurement","matches":"aa*"}]}]}]}]})",
     Compatibility::kStrict,
     R"({"strongroom-root-class":"simulated","strongroom-tenant":"development",
         "strongroom-debug":true,"strongroom-tee":"sev-snp","strongroom-measurement":"dd"})",
     {{"{}", true},
      {R"({"strongroom-tenant":"bank"})", false},
      {R"({"strongroom-root-class":"production"})", false},
      {R"({"strongroom-tenant":"bank","strongroom-debug":false,"strongroom-tee":"tdx"})", false},
      {R"({"strongroom-root-class":"production","strongroom-debug":false,
           "strongroom-tee":"tdx"})",
       true},
      {R"({"strongroom-root-class":"production","strongroom-debug":false,
           "strongroom-measurement":"aa11"})",
       true},
      {R"({"strongroom-root-class":"production","strongroom-debug":false})", false},
      {R"({"strongroom-root-class":"production","strongroom-tee":"tdx"})", false}}}};

ClaimSet claims_of(const Example& example, const Case& its) {
  auto set = json::parse(example.claims).as_object();
  const auto change = json::parse(its.change).as_object();
  for (const auto& member : change) {
    if (member.value().is_null()) {
      set.erase(member.key());
    } else {
      set[member.key()] = member.value();
    }
  }
  return {set};
}

bool allowed(const ReleasePolicy& policy, const Example& example, const Case& its) {
  return evaluate(policy, claims_of(example, its), {"https://a"}).allowed;
}

ReleasePolicy policy_of(const Example& example) {
  const auto policy = parse_release_policy(example.policy, example.compatibility);
  EXPECT_TRUE(policy) << policy.error().message;
  return policy ? *policy : ReleasePolicy{};
}

struct Mutant {
  std::string removed;  // the path
  ReleasePolicy policy;
};

// Mutants of one policy. Walks it in place: takes a condition out, copies the whole, puts it back.
// An allOf that loses its last condition would ask for nothing, and the evaluator takes a group
// without conditions for false; so what is left of it is a condition that always holds. Blocks are
// clauses too.
class Mutants {
 public:
  explicit Mutants(ReleasePolicy policy) : policy_(std::move(policy)) {
    for (std::size_t i = 0; i < policy_.any_of.size(); ++i) {
      const auto path = path_of("", Quantifier::kAnyOf, i);
      auto without = policy_;
      without.any_of.erase(without.any_of.begin() + static_cast<std::ptrdiff_t>(i));
      all_.push_back({path, std::move(without)});
      walk(policy_.any_of[i].conditions, path);
    }
  }

  [[nodiscard]] const std::vector<Mutant>& all() const { return all_; }

 private:
  void walk(Group& group, const std::string& at) {
    for (std::size_t i = 0; i < group.members.size(); ++i) {
      const auto path = path_of(at, group.quantifier, i);
      const auto kept = group.members;
      group.members.erase(group.members.begin() + static_cast<std::ptrdiff_t>(i));
      if (group.members.empty() && group.quantifier == Quantifier::kAllOf) {
        group.members = {{ClaimTest{"strongroom-root-class", Operator::kExists, {Scalar(true)}}}};
      }
      all_.push_back({path, policy_});
      group.members = kept;
      if (auto* inner = std::get_if<Group>(&group.members[i].what)) {
        walk(*inner, path);
      }
    }
  }

  ReleasePolicy policy_;
  std::vector<Mutant> all_;
};

TEST(MutationTest, CasesAreDecidedAsTheySay) {
  for (const auto& example : kExamples) {
    const auto policy = policy_of(example);
    for (const auto& its : example.cases) {
      EXPECT_EQ(allowed(policy, example, its), its.allowed) << example.name << ": " << its.change;
    }
  }
}

TEST(MutationTest, EachClauseThatIsRemovedFlipsACase) {
  std::size_t clauses = 0;
  for (const auto& example : kExamples) {
    const Mutants mutants(policy_of(example));
    for (const auto& mutant : mutants.all()) {
      // A block of another authority decides nothing here, whatever is in it: it must not.
      const bool foreign = example.policy.find("https://elsewhere") != std::string::npos &&
                           mutant.removed.starts_with("anyOf[0]");
      bool flips = false;
      for (const auto& its : example.cases) {
        flips |= allowed(mutant.policy, example, its) != its.allowed;
      }
      EXPECT_EQ(flips, !foreign) << example.name << ": " << mutant.removed;
      ++clauses;
    }
  }
  EXPECT_EQ(clauses, 32U);
}

}  // namespace
}  // namespace keybroker::policy
