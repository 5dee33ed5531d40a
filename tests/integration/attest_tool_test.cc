// SPDX-License-Identifier: Apache-2.0
#include "tests/integration/attest_tool.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "tests/support/evidence_vectors.h"
#include "tests/support/skip.h"

// The real program, with a simulated guest's bundle and with captured evidence.
namespace tests::integration {
namespace {

namespace json = boost::json;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

using AttestToolTest = AttestTool;

TEST_F(AttestToolTest, SimulatedEvidenceIsRefusedUnlessItsRootIsNamed) {
  make_simulated();
  const auto ran = attest(verify());
  EXPECT_EQ(ran.status, 6);
  EXPECT_THAT(ran.out, StartsWith("refused: simulated-in-production (chain): "));
  EXPECT_THAT(ran.out, Not(HasSubstr("\nclaims\n")));
}

TEST_F(AttestToolTest, SimulatedEvidenceSaysSoAndExitsThree) {
  make_simulated();
  const auto ran = attest(verify({"--trust-simulator", root_}));
  EXPECT_EQ(ran.status, 3) << ran.out << ran.err;
  EXPECT_THAT(ran.out, StartsWith("SIMULATED, worth nothing outside tests: accepted\n"));
  EXPECT_THAT(ran.out, HasSubstr("\npass      snp.signature"));
  EXPECT_THAT(ran.out, HasSubstr("\nroot_class: simulated\n"));

  const auto verdict = document(verify({"--trust-simulator", root_}), 3);
  EXPECT_EQ(verdict.at("schema"), "strongroom.attest.verdict/1");
  EXPECT_EQ(verdict.at("simulated"), true);
  EXPECT_EQ(verdict.at("accepted"), true);
  EXPECT_EQ(verdict.at("claims").at("root_class"), "simulated");
  EXPECT_EQ(verdict.at("claims").at("boot").at("secure_boot"), true);
  EXPECT_FALSE(verdict.contains("reason"));
}

TEST_F(AttestToolTest, ATamperedBundleIsRefusedWithTheReason) {
  make_simulated();
  evidence_.quotes.front().pcrs[7][0] ^= std::byte{1};
  bundle_ = make_file("bundle.json", *encode_bundle(evidence_));
  const auto verdict = document(verify({"--trust-simulator", root_}), 6);
  EXPECT_EQ(verdict.at("reason"), "pcr-digest");
  EXPECT_EQ(verdict.at("stage"), "mismatch");
  EXPECT_FALSE(verdict.contains("claims"));
}

TEST_F(AttestToolTest, ExitStatusesTellTheKindOfRefusal) {
  make_simulated();
  const std::vector<std::string> trusting{"--trust-simulator", root_};
  auto arguments = verify(trusting);
  arguments[5] = "2040-01-01T00:00:00Z";
  EXPECT_EQ(document(arguments, 7).at("stage"), "stale");
  arguments = verify(trusting);
  arguments[3] =
      make_file("other.json", R"({"schema":"strongroom.policy/1","snp":{"measurement":")" +
                                  std::string(96, '0') + "\"}}");
  EXPECT_EQ(document(arguments, 5).at("reason"), "snp-measurement-unknown");
  arguments = verify(trusting);
  arguments[7] = "00";
  EXPECT_EQ(document(arguments, 6).at("reason"), "nonce-mismatch");
}

TEST_F(AttestToolTest, WhatCannotBeReadIsNamed) {
  make_simulated();
  auto arguments = verify();
  arguments[3] = make_file("broken.json", R"({"schema":"strongroom.policy/1","snq":{}})");
  auto ran = attest(arguments);
  EXPECT_EQ(ran.status, 2);
  EXPECT_THAT(ran.err, HasSubstr("'snq' is not known"));
  arguments = verify();
  arguments[1] = make_file("nothing.bin", "nothing");
  ran = attest(arguments);
  EXPECT_EQ(ran.status, 6);
  EXPECT_THAT(ran.err, HasSubstr("no evidence that is known here"));
  arguments[1] = (folder_ / "absent").string();
  EXPECT_EQ(attest(arguments).status, 4);
  arguments = verify();
  arguments[5] = "yesterday";
  EXPECT_THAT(attest(arguments).err, HasSubstr("2026-11-21T00:00:00Z"));
  make_file("collateral/amd/Genoa.crl", "no list");
  EXPECT_THAT(attest(verify()).err, HasSubstr("Genoa.crl"));
  arguments = verify({"--trust-simulator", bundle_});
  EXPECT_NE(attest(arguments).status, 0);
}

TEST_F(AttestToolTest, ReadsABundleFromStdin) {
  make_simulated();
  auto arguments = verify({"--trust-simulator", root_});
  arguments[1] = "-";
  EXPECT_EQ(attest(arguments, *encode_bundle(evidence_)).status, 3);
}

TEST_F(AttestToolTest, ShowsAnEventLog) {
  make_simulated();
  const auto log = make_file("log.bin", *evidence_.event_log);
  const auto ran = attest({"eventlog", log});
  EXPECT_EQ(ran.status, 0) << ran.err;
  EXPECT_THAT(ran.out, HasSubstr("pcr7 EV_EFI_VARIABLE_DRIVER_CONFIG"));
  EXPECT_THAT(ran.out, HasSubstr("\nsecure_boot: true\n"));
  const auto shown = document({"eventlog", log, "--bank", "sha384"}, 0);
  const auto& pcrs = evidence_.quotes.front().pcrs;
  EXPECT_EQ(document({"eventlog", log}, 0).at("registers").at("pcr7").at("value"),
            json::value(base::to_hex(pcrs.at(7))));
  EXPECT_EQ(shown.at("bank"), "sha384");
  EXPECT_EQ(attest({"eventlog", log, "--bank", "sha512"}).status, 4);
  EXPECT_EQ(attest({"eventlog", make_file("cut.bin", "log")}).status, 6);
}

TEST_F(AttestToolTest, ExplainsEveryReason) {
  const auto all = document({"explain"}, 0);
  for (const auto& reason : all.at("reasons").as_array()) {
    const auto ran = attest({"explain", std::string(reason.at("code").as_string())});
    EXPECT_EQ(ran.status, 0);
    EXPECT_THAT(ran.out, HasSubstr("remedy:  "));
  }
  EXPECT_GE(all.at("reasons").as_array().size(), 100U);
  EXPECT_EQ(attest({"explain", "no-such-reason"}).status, 4);
}

TEST_F(AttestToolTest, EverySubcommandHasHelp) {
  for (const char* command : {"verify", "explain", "eventlog", "collect", "collateral"}) {
    const auto ran = attest({command, "--help"});
    EXPECT_EQ(ran.status, 0);
    EXPECT_THAT(ran.out, HasSubstr("--json"));
    EXPECT_THAT(ran.err, IsEmpty());
  }
  EXPECT_EQ(attest({"verify"}).status, 2);
}

// Production evidence, by the program as it is shipped: a report as it came, its certificate from a
// bundle, the authorities from the folder.
class AttestToolVectorsTest : public AttestToolTest {
 protected:
  void SetUp() override {
    if (!support::has_evidence_vectors()) {
      SKIP_OUTSIDE_CI("no captured evidence in ../shared/vectors/evidence");
    }
  }
};

TEST_F(AttestToolVectorsTest, AcceptsAGenuineReportAndExitsZero) {
  keybroker::evidence::Evidence evidence;
  evidence.snp_report = support::read_evidence_vector("snp/genoa-v5.report.bin");
  evidence.snp_certificates = {*keybroker::crypto::Certificate::decode(
      support::read_evidence_vector("snp/genoa-v5.vcek.der"))};
  const auto bundle = make_file("genoa.json", *encode_bundle(evidence));
  make_file("collateral/amd/Genoa.pem",
            support::read_evidence_vector("roots/amd/genoa-ask-ark.pem"));
  const auto policy =
      make_file("any.json", R"({"schema":"strongroom.policy/1","report_data":"any",)"
                            R"("snp":{"measurement":"any","crl":"off"}})");
  const std::vector<std::string> arguments{"verify",       bundle,
                                           "--policy",     policy,
                                           "--collateral", (folder_ / "collateral").string(),
                                           "--at",         "2026-11-21T00:00:00Z"};
  const auto verdict = document(arguments, 0);
  EXPECT_EQ(verdict.at("simulated"), false);
  EXPECT_EQ(verdict.at("claims").at("snp").at("product"), "Genoa");
  EXPECT_THAT(attest(arguments).out, StartsWith("accepted\n"));
}

TEST_F(AttestToolVectorsTest, TellsTheLogOfATdFromThatOfATpm) {
  for (const auto& [vector, its_register, other] :
       {std::tuple("tdx/v4-ccel.ccel-data.bin", "\nrtmr1: f62dbc072bd5d3f3", "pcr"),
        std::tuple("tpm/evlog-secureboot-on.bin", "\npcr7: 5fd54361d580eb75", "rtmr")}) {
    const auto ran = attest({"eventlog", make_file("log", support::read_evidence_vector(vector))});
    EXPECT_EQ(ran.status, 0) << ran.err;
    EXPECT_THAT(ran.out, ::testing::HasSubstr(its_register));
    EXPECT_THAT(ran.out, ::testing::Not(::testing::HasSubstr(other)));
  }
}

// Evidence that nobody made a bundle of.
TEST_F(AttestToolVectorsTest, PutsThePartsOfEvidenceTogether) {
  const auto file = [&](const char* name) {
    return make_file(name, support::read_evidence_vector("azure/" + std::string(name)));
  };
  const auto policy =
      make_file("parts-policy.json",
                R"({"schema":"strongroom.policy/1","snp":{"measurement":"any","crl":"off"},)"
                R"("quote":{"required":true}})");
  const auto status_of = [&](const std::vector<std::string>& parts) {
    std::vector<std::string> arguments{
        "verify",  "--policy",          policy, "--at", "2026-11-21T00:00:00Z",
        "--nonce", "6368616c6c656e6765"};
    arguments.insert(arguments.begin() + 1, parts.begin(), parts.end());
    return attest(arguments).status;
  };
  const auto report = file("snp-milan-v2.hcl-report.bin");
  const auto certificates = file("snp-milan-v2.vcek-ask-ark.pem");
  const auto quote = file("snp-milan-v2.tpm-quote.json");
  EXPECT_EQ(status_of({report, certificates, quote}), 0);
  EXPECT_EQ(status_of({quote, certificates, report}), 0);
  EXPECT_NE(status_of({report, certificates}), 0);  // the policy wants the quote
  EXPECT_EQ(status_of({report, certificates, quote, quote}), 2);
}

// Azure's own form of evidence is taken as it is.
TEST_F(AttestToolVectorsTest, AcceptsAnotherMakersBundle) {
  const auto bundle = make_file(
      "azure.json", support::read_evidence_vector("azure/snp-milan-v3-userdata.evidence.json"));
  make_file("collateral/amd/Milan.pem",
            support::read_evidence_vector("roots/amd/milan-ask-ark.pem"));
  const auto policy =
      make_file("azure-policy.json",
                R"({"schema":"strongroom.policy/1","snp":{"measurement":"any","crl":"off"},)"
                R"("vm_id":"7DF7B373-B947-4AAA-96E5-C358F2A03D20","quote":{"required":true}})");
  const std::string nonce =
      "982f5c6e45df0ed3f10b6f60b02f0c8390e281300f3805e2279c16168cd6ae9aa398f647caa2338748cd0fd9f5f8"
      "19ef";
  const auto verdict = document(
      {"verify", bundle, "--policy", policy, "--collateral", (folder_ / "collateral").string(),
       "--at", "2026-11-21T00:00:00Z", "--nonce", nonce},
      0);
  EXPECT_EQ(verdict.at("claims").at("vm").at("bound"), true);
}

}  // namespace
}  // namespace tests::integration
