// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "keybroker/policy/decision.h"
#include "tests/integration/evidence_item.h"

// Release policies over claims of captured evidence, as its verification gives them.
namespace tests::integration {
namespace {

namespace policy = keybroker::policy;

// A policy that pins what these claims say of the machine, in MAA's names and in ours.
std::string pinning(const policy::ClaimSet& claims) {
  json::array tests;
  for (const char* name :
       {"strongroom-tee", "strongroom-measurement", "strongroom-launch-digest", "strongroom-debug",
        "x-ms-attestation-type", "x-ms-sevsnpvm-launchmeasurement", "x-ms-sevsnpvm-vmpl",
        "x-ms-sevsnpvm-microcode-svn", "x-ms-sevsnpvm-reportid", "tdx_mrtd", "tdx_rtmr0",
        "tdx_seamsvn", "attester_tcb_status", "x-ms-isolation-tee.x-ms-attestation-type",
        "x-ms-isolation-tee.x-ms-runtime.vm-configuration.vmUniqueId"}) {
    if (const auto* value = claims.find(name)) {
      tests.push_back({{"claim", name}, {"equals", *value}});
    }
  }
  return json::serialize(json::object{
      {"version", "1.0.0"},
      {"anyOf", json::array{json::object{{"authority", "https://a"}, {"allOf", tests}}}}});
}

class ReleasePolicyVectorsTest : public tests::support::EvidenceVectors {};

TEST_F(ReleasePolicyVectorsTest, PinExactlyTheMachineThatTheyCameFrom) {
  const auto manifest = json::parse(text_of(read_evidence_vector("manifest.json"))).as_object();
  std::vector<std::pair<std::string, policy::ClaimSet>> machines;
  for (const auto& object : manifest.at("items").as_array()) {
    const std::string kind(object.at("kind").as_string());
    const Item item(object.as_object());
    if ((kind != "report" && kind != "azure-hcl" && kind != "quote") || !item.passes()) {
      continue;
    }
    const auto evidence = evidence_of(item);
    const auto verdict = verify(evidence, policy_of(item, evidence), collateral_of(item),
                                TrustStore::production(), item.time());
    if (verdict.claims) {
      machines.emplace_back(item.text("id"), policy::claim_set(*verdict.claims, {}));
    }
  }
  ASSERT_GE(machines.size(), 4U);
  for (const auto& [name, claims] : machines) {
    SCOPED_TRACE(name);
    const auto pinned =
        must(policy::parse_release_policy(pinning(claims), policy::Compatibility::kStrict));
    ASSERT_GE(pinned.any_of.front().conditions.members.size(), 5U);
    for (const auto& [other, others] : machines) {
      const auto decision = policy::evaluate(pinned, others, {"https://a"});
      EXPECT_EQ(decision.allowed, claims.json == others.json || name == other)
          << other << ": " << decision.why();
    }
  }
}

}  // namespace
}  // namespace tests::integration
