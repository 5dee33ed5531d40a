// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "keybroker/evidence/hcl_report.h"
#include "keybroker/evidence/tpm_public.h"
#include "tests/integration/attest_tool.h"
#include "tests/support/process.h"

// `attest collect` as a guest runs it, against swtpm: a TPM that is not ours, reached through a
// TCTI that is not ours, set up with tpm2-tools as Azure's guests find theirs.
namespace tests::integration {
namespace {

namespace json = boost::json;
using namespace keybroker::evidence;
using ::testing::HasSubstr;

class AttestCollectTest : public AttestTool {
 protected:
  void SetUp() override {
    const auto socket = folder_ / "tpm";
    const auto control = (folder_ / "tpm.ctrl").string();
    swtpm_ = *support::Process::start(
        {"swtpm", "socket", "--tpm2", "--tpmstate", "dir=" + folder_.path().string(), "--flags",
         "not-need-init,startup-clear", "--server", "type=unixio,path=" + socket.string(), "--ctrl",
         "type=unixio,path=" + control});
    ASSERT_TRUE(support::wait_for_socket(control, *swtpm_, std::chrono::seconds(20)));
    ASSERT_TRUE(support::wait_for_socket(socket, *swtpm_, std::chrono::seconds(20)));
    tcti_ = "swtpm:path=" + socket.string();
    ::setenv("TPM2TOOLS_TCTI", tcti_.c_str(), 1);
  }

  // tpm2() runs one of tpm2-tools, which must succeed.
  static void tpm2(std::vector<std::string> arguments) {
    arguments.front() = "/usr/bin/tpm2_" + arguments.front();
    const auto ran = support::run_command(arguments);
    ASSERT_EQ(ran.status, 0) << arguments.front() << ": " << ran.err;
  }

  [[nodiscard]] std::string path(const std::string& name) const {
    return (folder_ / name).string();
  }

  // make_ak() persists an AK by the template of Azure's vTPMs and ours.
  void make_ak() const {
    tpm2({"createprimary", "-Q", "-C", "e", "-g", "sha256", "-G", "rsa2048:rsassa-sha256:null",
          "-a", "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|restricted|sign", "-c",
          path("ak.ctx")});
    tpm2({"evictcontrol", "-Q", "-C", "o", "-c", path("ak.ctx"), "0x81000003"});
    tpm2({"readpublic", "-Q", "-c", "0x81000003", "-f", "tss", "-o", path("ak.pub")});
  }

  // The TPMT_PUBLIC behind its two bytes of size.
  [[nodiscard]] base::Bytes ak() const {
    std::ifstream file(folder_ / "ak.pub", std::ios::binary);
    const std::string text(std::istreambuf_iterator<char>(file), {});
    return base::copy_of(base::bytes_of(std::string_view(text).substr(2)));
  }

  void write_index(const std::string& index, base::Bytes content, std::size_t size) const {
    content.resize(size);
    const auto file = make_file("index", content);
    tpm2({"nvdefine", "-Q", "-C", "p", "-s", std::to_string(size), "-a",
          "authread|authwrite|ownerread|platformcreate|no_da", index});
    tpm2({"nvwrite", "-Q", "-C", index, "-i", file, index});
  }

  // The report of an ordinary VM: claims that nothing binds.
  void write_report() const {
    const auto numbers = *decode_tpm_public(ak())->key.rsa_numbers();
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
    tpm2(all);
    return make_file("log", encode(log));
  }

  [[nodiscard]] std::string policy() const {
    return make_file("policy.json",
                     json::serialize(json::object{
                         {"schema", "strongroom.policy/1"},
                         {"tees", {"none"}},
                         {"vm_id", "6ba7b810-9dad-11d1-80b4-00c04fd430c8"},
                         {"ak", {{"name", base::to_hex(decode_tpm_public(ak())->name)}}},
                         {"log", {{"required", true}}},
                         {"boot", {{"secure_boot", "required"}}}}));
  }

  std::optional<support::Process> swtpm_;
  std::string tcti_;
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
  tpm2({"nvread", "-Q", "-C", "o", "-s", "64", "-o", path("user-data"), "0x01400002"});
  std::ifstream file(folder_ / "user-data", std::ios::binary);
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(file), {}), std::string(64, '\xaa'));
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
  tpm2({"changeauth", "-c", "o", "secret"});
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
