// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "keybroker/evidence/hcl_report.h"
#include "keybroker/evidence/tpm_public.h"
#include "tests/integration/attest_tool.h"
#include "tests/integration/swtpm.h"

// `attest collect` as a guest runs it, against swtpm: a TPM that is not ours, reached through a
// TCTI that is not ours, set up with tpm2-tools as Azure's guests find theirs.
namespace tests::integration {
namespace {

namespace json = boost::json;
using namespace keybroker::evidence;
using ::testing::HasSubstr;

class AttestCollectTest : public AttestTool {
 protected:
  void write_index(const std::string& index, base::Bytes content, std::size_t size) const {
    content.resize(size);
    const auto file = make_file("index", content);
    Swtpm::run({"nvdefine", "-Q", "-C", "p", "-s", std::to_string(size), "-a",
                "authread|authwrite|ownerread|platformcreate|no_da", index});
    Swtpm::run({"nvwrite", "-Q", "-C", index, "-i", file, index});
  }

  // The report of an ordinary VM: claims that nothing binds.
  void write_report() const {
    const auto numbers = *decode_tpm_public(ak_)->key.rsa_numbers();
    keybroker::protocol::RuntimeClaims claims;
    claims.keys = {
        {std::string(keybroker::protocol::kAkKeyId), {"sign"}, numbers.modulus, numbers.exponent}};
    claims.vm = {.secure_boot = true,
                 .tpm_enabled = true,
                 .tpm_persisted = true,
                 .console_enabled = std::nullopt,
                 .vm_unique_id = "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
                 .hardware_sealing_policy = "none"};
    HclReport report;
    report.claims = *encode(claims);
    write_index("0x01400001", *encode(report), 2048);
  }

  // What the firmware would have done.
  [[nodiscard]] std::string boot() const {
    const auto log = support::firmware_log();
    std::vector<std::string> all{"pcrextend"};
    for (const auto& event : log.events) {
      all.push_back(std::to_string(event.index) +
                    ":sha256=" + base::to_hex(event.digests[0].bytes) +
                    ",sha384=" + base::to_hex(event.digests[1].bytes));
    }
    Swtpm::run(all);
    return make_file("log", encode(log));
  }

  [[nodiscard]] std::string policy() const {
    return make_file(
        "policy.json",
        json::serialize(json::object{{"schema", "strongroom.policy/1"},
                                     {"tees", {"none"}},
                                     {"vm_id", "6ba7b810-9dad-11d1-80b4-00c04fd430c8"},
                                     {"ak", {{"name", base::to_hex(decode_tpm_public(ak_)->name)}}},
                                     {"log", {{"required", true}}},
                                     {"boot", {{"secure_boot", "required"}}}}));
  }

  void make_ak() {
    tpm_.make_ak();
    ak_ = tpm_.public_area("0x81000003");
  }

  [[nodiscard]] std::string path(const std::string& name) const { return tpm_.path(name); }

  Swtpm tpm_{folder_.path()};
  std::string tcti_ = tpm_.tcti();
  base::Bytes ak_;
};

TEST_F(AttestCollectTest, WhatItCollectsIsVerified) {
  make_ak();
  write_report();
  const auto log = boot();
  const auto collected = attest({"collect", "--tcti", tcti_, "--nonce", "c0ffee", "--event-log",
                                 log, "--bank", "sha256", "--bank", "sha384", "--user-data",
                                 std::string(128, 'a'), "--output", path("bundle.json")});
  ASSERT_EQ(collected.status, 0) << collected.err;
  const std::vector<std::string> verify{"verify",       path("bundle.json"), "--policy", policy(),
                                        "--collateral", path("none"),        "--nonce"};
  auto arguments = verify;
  arguments.emplace_back("c0ffee");
  const auto verdict = document(arguments, 0);
  EXPECT_EQ(verdict.at("claims").at("quotes").as_array().size(), 2U);
  EXPECT_EQ(verdict.at("claims").at("boot").at("secure_boot"), true);
  EXPECT_EQ(verdict.at("claims").at("vm").at("bound"), false);
  arguments.back() = "c0ffef";
  EXPECT_EQ(document(arguments, 6).at("reason"), "nonce-mismatch");

  // The user data are where the next report takes them from, as their guest defined them.
  Swtpm::run({"nvread", "-Q", "-C", "o", "-s", "64", "-o", path("user-data"), "0x01400002"});
  EXPECT_EQ(tpm_.file("user-data"), base::Bytes(64, std::byte{0xAA}));
}

TEST_F(AttestCollectTest, SaysWhatIsMissing) {
  auto ran = attest({"collect", "--tcti", tcti_, "--nonce", "00"});
  EXPECT_EQ(ran.status, 4);
  EXPECT_THAT(ran.err, HasSubstr("0x81000003"));
  make_ak();
  ran = attest({"collect", "--tcti", tcti_, "--nonce", "00", "--event-log", "none", "--pcr", "7"});
  EXPECT_EQ(ran.status, 0) << ran.err;
  EXPECT_THAT(ran.err, HasSubstr("has no report"));
  EXPECT_THAT(ran.err, HasSubstr("has no AK certificate"));
  const auto bundle = decode_bundle(ran.out);
  ASSERT_TRUE(bundle) << bundle.error().message;
  EXPECT_EQ(bundle->quotes.front().pcrs.size(), 1U);

  EXPECT_EQ(attest({"collect", "--tcti", tcti_, "--nonce", "x"}).status, 2);
  EXPECT_EQ(attest({"collect", "--tcti", "swtpm:path=/nowhere", "--nonce", "00"}).status, 8);
}

TEST_F(AttestCollectTest, AnOwnersPasswordIsAskedForAndUsed) {
  make_ak();
  write_report();
  Swtpm::run({"changeauth", "-c", "o", "secret"});
  const std::vector<std::string> arguments{"collect", "--tcti",      tcti_, "--nonce",
                                           "00",      "--event-log", "none"};
  auto ran = attest(arguments);
  EXPECT_EQ(ran.status, 5);
  EXPECT_THAT(ran.err, HasSubstr("--owner-auth"));
  auto with = arguments;
  with.insert(with.end(), {"--owner-auth", "-"});
  ran = attest(with, "secret");
  EXPECT_EQ(ran.status, 0) << ran.err;
}

}  // namespace
}  // namespace tests::integration
