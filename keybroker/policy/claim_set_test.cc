// SPDX-License-Identifier: Apache-2.0
#include "keybroker/policy/claim_set.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <boost/json/serialize.hpp>
#include <set>

#include "keybroker/policy/decision.h"

namespace keybroker::policy {
namespace {

namespace json = boost::json;
using evidence::SnpProduct;
using evidence::TcbStatus;
using protocol::TeeFamily;

template <std::size_t N>
void fill(std::array<std::byte, N>& bytes, unsigned value) {
  bytes.fill(static_cast<std::byte>(value));
}

std::string repeated(std::string_view digits, std::size_t bytes) {
  std::string text;
  for (std::size_t i = 0; i < bytes; ++i) {
    text += digits;
  }
  return text;
}

evidence::Claims snp_claims() {
  evidence::Claims claims;
  claims.tee = TeeFamily::kSevSnp;
  claims.verified_at = *crypto::parse_time("2026-11-22T07:00:00Z");
  auto& snp = claims.snp.emplace();
  snp.product = SnpProduct::kMilan;
  snp.signer = evidence::SnpSigningKey::kVcek;
  auto& report = snp.report;
  report.policy = evidence::kSnpPolicySmt | evidence::kSnpPolicyReservedOne;
  report.guest_svn = 9;
  report.vmpl = 2;
  fill(report.measurement, 0xA1);
  fill(report.host_data, 0xA2);
  fill(report.id_key_digest, 0xA3);
  fill(report.author_key_digest, 0xA4);
  fill(report.report_data, 0xA5);
  fill(report.report_id, 0xA6);
  fill(report.family_id, 0xA7);
  fill(report.image_id, 0xA8);
  fill(report.chip_id, 0xA9);
  const auto tcb = [](std::uint8_t microcode) {
    return evidence::encode_tcb({.boot_loader = 3, .tee = 1, .snp = 8, .microcode = microcode},
                                evidence::TcbForm::kMilanGenoa);
  };
  report.reported_tcb = tcb(115);
  report.committed_tcb = tcb(114);
  report.launch_tcb = tcb(113);
  report.current_tcb = tcb(116);
  return claims;
}

evidence::Claims tdx_claims() {
  evidence::Claims claims;
  claims.tee = TeeFamily::kTdx;
  auto& tdx = claims.tdx.emplace();
  auto& body = tdx.quote.body;
  body.tee_tcb_svn = {std::byte{13}, std::byte{1}, std::byte{4}};
  fill(body.mr_td, 0xB1);
  fill(body.mr_config_id, 0xB2);
  fill(body.rtmr[3], 0xB3);
  body.attributes = 1ULL << 28U;
  body.xfam = 0x602E7;
  tdx.tcb = evidence::TcbSummary{TcbStatus::kSwHardeningNeeded,
                                 *crypto::parse_time("2024-03-13T00:00:00Z"),
                                 {"INTEL-SA-00828"}};
  tdx.module_status = TcbStatus::kUpToDate;
  tdx.evaluation_number = 17;
  fill(tdx.platform.emplace().ppid, 0xB4);
  return claims;
}

// The claim at a path, as JSON; "missing" if there is none.
std::string at(const ClaimSet& set, std::string_view path) {
  const auto* value = set.find(path);
  return value == nullptr ? "missing" : json::serialize(*value);
}

std::string quoted(const std::string& text) { return "\"" + text + "\""; }

TEST(ClaimSetTest, WalksIntoObjectsByDots) {
  const ClaimSet set{{{"a", {{"b", {{"c", 1}}}}}, {"d", "x"}}};
  EXPECT_EQ(at(set, "a.b.c"), "1");
  EXPECT_EQ(at(set, "d"), "\"x\"");
  for (const char* path : {"a.b.d", "a.c", "d.x", "a.b.c.d", "", "a..b", ".a", "a."}) {
    EXPECT_EQ(at(set, path), "missing") << path;
  }
}

TEST(ClaimSetTest, SaysWhatAnSnpReportSaysInTheNamesOfMaa) {
  const auto set = claim_set(snp_claims(), {});

  const std::string prefix = "x-ms-sevsnpvm-";
  EXPECT_EQ(at(set, "x-ms-attestation-type"), "\"sevsnpvm\"");
  EXPECT_EQ(at(set, "x-ms-ver"), "\"1.0\"");
  EXPECT_EQ(at(set, prefix + "launchmeasurement"), quoted(repeated("a1", 48)));
  EXPECT_EQ(at(set, prefix + "hostdata"), quoted(repeated("a2", 32)));
  EXPECT_EQ(at(set, prefix + "idkeydigest"), quoted(repeated("a3", 48)));
  EXPECT_EQ(at(set, prefix + "authorkeydigest"), quoted(repeated("a4", 48)));
  EXPECT_EQ(at(set, prefix + "reportdata"), quoted(repeated("a5", 64)));
  EXPECT_EQ(at(set, prefix + "reportid"), quoted(repeated("a6", 32)));
  EXPECT_EQ(at(set, prefix + "familyId"), quoted(repeated("a7", 16)));
  EXPECT_EQ(at(set, prefix + "imageId"), quoted(repeated("a8", 16)));
  EXPECT_EQ(at(set, prefix + "bootloader-svn"), "3");
  EXPECT_EQ(at(set, prefix + "tee-svn"), "1");
  EXPECT_EQ(at(set, prefix + "snpfw-svn"), "8");
  EXPECT_EQ(at(set, prefix + "microcode-svn"), "115");
  EXPECT_EQ(at(set, prefix + "guestsvn"), "9");
  EXPECT_EQ(at(set, prefix + "vmpl"), "2");
  EXPECT_EQ(at(set, prefix + "is-debuggable"), "false");
  EXPECT_EQ(at(set, prefix + "migration-allowed"), "false");
  EXPECT_EQ(at(set, prefix + "smt-allowed"), "true");
}

TEST(ClaimSetTest, SaysWhatAnSnpReportSaysInOurNames) {
  auto claims = snp_claims();
  const auto set = claim_set(claims, {});

  EXPECT_EQ(at(set, "strongroom-root-class"), "\"production\"");
  EXPECT_EQ(at(set, "strongroom-tee"), "\"sev-snp\"");
  EXPECT_EQ(at(set, "strongroom-debug"), "false");
  EXPECT_EQ(at(set, "strongroom-migratable"), "false");
  EXPECT_EQ(at(set, "strongroom-measurement"), quoted(repeated("a1", 48)));
  EXPECT_EQ(at(set, "strongroom-launch-digest"), quoted(repeated("a2", 32)));
  EXPECT_EQ(at(set, "strongroom-chip-id"), quoted(repeated("a9", 64)));
  EXPECT_EQ(at(set, "strongroom-snp-product"), "\"Milan\"");
  EXPECT_EQ(at(set, "strongroom-snp-signer"), "\"vcek\"");
  EXPECT_EQ(at(set, "strongroom-snp-tcb.reported"),
            R"({"boot_loader":3,"tee":1,"snp":8,"microcode":115})");
  EXPECT_EQ(at(set, "strongroom-snp-tcb.committed.microcode"), "114");
  EXPECT_EQ(at(set, "strongroom-snp-tcb.launch.microcode"), "113");
  EXPECT_EQ(at(set, "strongroom-snp-tcb.current.microcode"), "116");
  EXPECT_EQ(at(set, "strongroom-snp-policy.smt"), "true");
  EXPECT_EQ(at(set, "strongroom-snp-policy.debug"), "false");
  EXPECT_EQ(at(set, "strongroom-verified-at"), "\"2026-11-22T07:00:00Z\"");

  claims.root_class = evidence::RootClass::kSimulated;
  claims.snp->report.policy |= evidence::kSnpPolicyDebug | evidence::kSnpPolicyMigrationAgent;
  claims.snp->report.chip_id.fill(std::byte{0});
  const auto other = claim_set(claims, {});
  EXPECT_EQ(at(other, "strongroom-root-class"), "\"simulated\"");
  EXPECT_EQ(at(other, "strongroom-debug"), "true");
  EXPECT_EQ(at(other, "x-ms-sevsnpvm-is-debuggable"), "true");
  EXPECT_EQ(at(other, "strongroom-migratable"), "true");
  EXPECT_EQ(at(other, "x-ms-sevsnpvm-migration-allowed"), "true");
  EXPECT_EQ(at(other, "strongroom-chip-id"), "missing");
}

TEST(ClaimSetTest, SaysWhatATdxQuoteSays) {
  auto claims = tdx_claims();
  const auto set = claim_set(claims, {});

  EXPECT_EQ(at(set, "x-ms-attestation-type"), "\"tdxvm\"");
  EXPECT_EQ(at(set, "attester_tcb_status"), "\"SWHardeningNeeded\"");
  EXPECT_EQ(at(set, "dbgstat"), "\"disabled\"");
  EXPECT_EQ(at(set, "tdx_mrtd"), quoted(repeated("b1", 48)));
  EXPECT_EQ(at(set, "tdx_mrconfigid"), quoted(repeated("b2", 48)));
  EXPECT_EQ(at(set, "tdx_rtmr3"), quoted(repeated("b3", 48)));
  EXPECT_EQ(at(set, "tdx_rtmr0"), quoted(repeated("00", 48)));
  // As MAA and Intel print them for a module 1.5 with SVN 13.
  EXPECT_EQ(at(set, "tdx_seamsvn"), "269");
  EXPECT_EQ(at(set, "tdx_tee_tcb_svn"), quoted("0d0104" + repeated("00", 13)));
  EXPECT_EQ(at(set, "tdx_td_attributes"), "\"0000001000000000\"");
  EXPECT_EQ(at(set, "tdx_td_attributes_septve_disable"), "true");
  EXPECT_EQ(at(set, "tdx_td_attributes_debug"), "false");
  EXPECT_EQ(at(set, "tdx_xfam"), "\"e702060000000000\"");
  EXPECT_EQ(at(set, "strongroom-tee"), "\"tdx\"");
  EXPECT_EQ(at(set, "strongroom-measurement"), quoted(repeated("b1", 48)));
  EXPECT_EQ(at(set, "strongroom-launch-digest"), quoted(repeated("b2", 48)));
  EXPECT_EQ(at(set, "strongroom-chip-id"), quoted(repeated("b4", 16)));
  EXPECT_EQ(at(set, "strongroom-tdx-module"), R"({"version":1,"svn":13})");
  EXPECT_EQ(
      at(set, "strongroom-tdx-tcb"),
      R"({"status":"SWHardeningNeeded","date":"2024-03-13T00:00:00Z",)"
      R"("advisories":["INTEL-SA-00828"],"module_status":"UpToDate","evaluation_number":17})");
  EXPECT_EQ(at(set, "strongroom-tdx-attributes.sept_ve_disable"), "true");
  EXPECT_EQ(at(set, "strongroom-migratable"), "false");

  claims.tdx->quote.body.attributes = 1ULL | 1ULL << 29U;
  const auto other = claim_set(claims, {});
  EXPECT_EQ(at(other, "dbgstat"), "\"enabled\"");
  EXPECT_EQ(at(other, "tdx_td_attributes_debug"), "true");
  EXPECT_EQ(at(other, "strongroom-debug"), "true");
  EXPECT_EQ(at(other, "strongroom-migratable"), "true");
}

TEST(ClaimSetTest, KeepsTheTeeOfAGuestWithAVtpmApart) {
  auto claims = snp_claims();
  claims.runtime = protocol::RuntimeClaims{
      .keys = {{"HCLAkPub", {"sign"}, {std::byte{0xAB}}, {std::byte{1}}}},
      .vm = {.secure_boot = true, .vm_unique_id = "6BA7B810-9DAD-11D1-80B4-00C04FD430C8"}};
  claims.claims_bound = true;
  claims.quotes.emplace_back();
  claims.secure_boot.emplace().enabled = true;

  const auto set = claim_set(claims, {});

  EXPECT_EQ(at(set, "x-ms-attestation-type"), "missing");
  EXPECT_EQ(at(set, "x-ms-sevsnpvm-vmpl"), "missing");
  EXPECT_EQ(at(set, "x-ms-runtime"), "missing");
  EXPECT_EQ(at(set, "x-ms-isolation-tee.x-ms-attestation-type"), "\"sevsnpvm\"");
  EXPECT_EQ(at(set, "x-ms-isolation-tee.x-ms-sevsnpvm-vmpl"), "2");
  EXPECT_EQ(at(set, "x-ms-isolation-tee.x-ms-runtime.vm-configuration.secure-boot"), "true");
  EXPECT_EQ(at(set, "x-ms-isolation-tee.x-ms-runtime.keys"),
            R"([{"kid":"HCLAkPub","key_ops":["sign"],"kty":"RSA","e":"AQ","n":"qw"}])");
  EXPECT_EQ(at(set, "secureboot"), "true");
  EXPECT_EQ(at(set, "strongroom-measurement"), quoted(repeated("a1", 48)));
}

TEST(ClaimSetTest, LeavesOutWhatOnlyTheVmSays) {
  auto claims = snp_claims();
  claims.runtime.emplace().vm.secure_boot = true;
  claims.extended.emplace().origin = protocol::SeedOrigin::kOwn;
  const auto unbound = claim_set(claims, {});
  EXPECT_EQ(at(unbound, "x-ms-runtime"), "missing");
  EXPECT_EQ(at(unbound, "strongroom-seed-origin"), "missing");
  EXPECT_EQ(at(unbound, "secureboot"), "missing");

  claims.claims_bound = true;
  const auto bound = claim_set(claims, {});
  EXPECT_EQ(at(bound, "x-ms-runtime.vm-configuration.secure-boot"), "true");
  EXPECT_EQ(at(bound, "strongroom-seed-origin"), "\"own\"");
  EXPECT_EQ(at(bound, "secureboot"), "missing");  // configured is not measured
}

TEST(ClaimSetTest, SaysWhatTheBrokerKnows) {
  BrokerFacts facts;
  fill(facts.vm_id.emplace(), 0xC1);
  fill(facts.tenant.emplace(), 0xC2);
  facts.region = "eu-1";
  auto& launch = facts.launch.emplace();
  launch.protection = protocol::Protection::kBroker;
  launch.offline_rule = protocol::OfflineRule::kAllow;
  launch.anchor_class = protocol::AnchorClass::kBoot;
  fill(facts.execution_policy_digest.emplace(), 0xC3);
  facts.freshness = Freshness::kUnanchored;
  facts.epoch = ~std::uint64_t{0};
  facts.restores = 2;

  const auto set = claim_set(snp_claims(), facts);

  EXPECT_EQ(at(set, "strongroom-vm-id"), "\"c1c1c1c1-c1c1-c1c1-c1c1-c1c1c1c1c1c1\"");
  EXPECT_EQ(at(set, "strongroom-tenant"), "\"c2c2c2c2-c2c2-c2c2-c2c2-c2c2c2c2c2c2\"");
  EXPECT_EQ(at(set, "strongroom-region"), "\"eu-1\"");
  EXPECT_EQ(at(set, "strongroom-protection"), "\"broker\"");
  EXPECT_EQ(at(set, "strongroom-lifetime"), "\"persistent\"");
  EXPECT_EQ(at(set, "strongroom-offline"), "\"allow\"");
  EXPECT_EQ(at(set, "strongroom-anchor"), "\"boot\"");
  EXPECT_EQ(at(set, "strongroom-execution-policy-digest"), quoted(repeated("c3", 32)));
  EXPECT_EQ(at(set, "strongroom-freshness"), "\"unanchored\"");
  EXPECT_EQ(at(set, "strongroom-epoch"), "18446744073709551615");
  EXPECT_EQ(at(set, "strongroom-restores"), "2");

  const auto none = claim_set(snp_claims(), {});
  for (const char* name : {"vm-id", "tenant", "region", "protection", "lifetime", "offline",
                           "anchor", "execution-policy-digest", "freshness", "epoch", "restores"}) {
    EXPECT_EQ(at(none, "strongroom-" + std::string(name)), "missing") << name;
  }
}

// Nobody but Microsoft can say that a machine complies with Azure's baseline.
TEST(ClaimSetTest, NeverSaysWhatOnlyMicrosoftSays) {
  auto claims = snp_claims();
  for (const bool guest : {false, true}) {
    claims.quotes.resize(guest ? 1 : 0);
    const auto text = json::serialize(claim_set(claims, {}).json);
    EXPECT_EQ(text.find("compliance"), std::string::npos);
    EXPECT_EQ(text.find("azure"), std::string::npos);
  }
}

TEST(ClaimSetTest, MeetsAPolicy) {
  const auto policy = *parse_release_policy(R"({"version":"1.0.0","anyOf":[{"authority":"https://a",
    "allOf":[{"claim":"strongroom-debug","equals":false},
             {"anyOf":[{"claim":"x-ms-attestation-type","equals":"sevsnpvm"},
                       {"claim":"x-ms-attestation-type","equals":"tdxvm"}]},
             {"minTcb":{"snp":{"Milan":{"snp":8,"microcode":113}},
                        "tdx":{"statuses":["SWHardeningNeeded"],
                               "advisories":["INTEL-SA-00828"]}}}]}]})",
                                            Compatibility::kStrict);
  const auto says = [&](const evidence::Claims& claims) {
    return evaluate(policy, claim_set(claims, {}), {"https://a"}).why();
  };

  EXPECT_EQ(says(snp_claims()),
            "allowed: each condition of anyOf[0] holds for the authority "
            "'https://a'");
  EXPECT_EQ(says(tdx_claims()),
            "allowed: each condition of anyOf[0] holds for the authority "
            "'https://a'");
  auto simulated = snp_claims();
  simulated.root_class = evidence::RootClass::kSimulated;
  EXPECT_FALSE(evaluate(policy, claim_set(simulated, {}), {"https://a"}).allowed);
  auto older = snp_claims();
  older.snp->report.launch_tcb = evidence::encode_tcb(
      {.boot_loader = 3, .tee = 1, .snp = 8, .microcode = 112}, evidence::TcbForm::kMilanGenoa);
  EXPECT_NE(says(older).find("strongroom-snp-tcb.launch.microcode is 112, below 113"),
            std::string::npos)
      << says(older);
}

}  // namespace
}  // namespace keybroker::policy
