// SPDX-License-Identifier: Apache-2.0
#include "tests/integration/skr_sidecar.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <fstream>

#include "keybroker/evidence/snp_report.h"
#include "keybroker/protocol/launch_document.h"
#include "keybroker/protocol/runtime_claims.h"
#include "keybroker/protocol/uuid.h"
#include "tests/integration/instance.h"
#include "tests/support/command.h"
#include "tests/support/temp_folder.h"
#include "vmgs/crypto/base64.h"
#include "vmgs/crypto/digest.h"

namespace tests::integration {
namespace {

namespace json = boost::json;
namespace protocol = keybroker::protocol;
using testing::HasSubstr;
using vmgs::crypto::Base64;

std::string base64(std::string_view text) {
  return vmgs::crypto::encode_base64(base::bytes_of(text), Base64::kPadded);
}

std::string text(const json::object& object, const char* member) {
  const auto* found = object.if_contains(member);
  return found != nullptr && found->is_string() ? std::string(found->get_string()) : std::string();
}

// A guest with the TPM of a confidential VM on a simulated machine, and the sidecar in it. What it
// does with a broker is in keybrokerd's tests.
class SkrSidecarTest : public testing::Test {
 protected:
  SkrSidecarTest() {
    ::setenv("STRONGROOM_SIMULATED_MACHINE", (folder_ / "machine").c_str(), 1);
    std::filesystem::create_symlink("ctrl", folder_ / "data.ctrl");
  }

  ~SkrSidecarTest() override { ::unsetenv("STRONGROOM_SIMULATED_MACHINE"); }

  [[nodiscard]] std::string tcti() const { return "swtpm:path=" + (folder_ / "data").string(); }

  [[nodiscard]] Instance start_vm() const {
    protocol::LaunchDocument document;
    document.vm_id = *protocol::parse_uuid("11111111-1111-1111-1111-111111111111");
    document.tee_family = protocol::TeeFamily::kSevSnp;
    document.lifetime = protocol::Lifetime::kEphemeral;
    document.protection = protocol::Protection::kNone;
    const auto bytes = *encode(document);
    std::ofstream(folder_ / "launch", std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes.data()),
               static_cast<std::streamsize>(bytes.size()));
    Instance instance(folder_.path(), VTPM_INSTANCE_SIM,
                      {"--data", folder_ / "data", "--launch-document", folder_ / "launch"});
    EXPECT_EQ(support::run_command({"/usr/bin/tpm2", "startup", "-c", "-T", tcti()}).status, 0);
    return instance;
  }

  support::TempFolder folder_;
};

TEST_F(SkrSidecarTest, ARawReportIsTheHardwaresAndLeadsToTheRuntimeData) {
  const auto vm = start_vm();
  const SkrSidecar sidecar(folder_.path(), tcti());
  EXPECT_EQ(text(sidecar.ask("GET", "/status").body, "message"), "Status OK");

  std::string before;
  for (const std::string runtime_data : {"one", "another"}) {
    const auto answer = sidecar.post("/attest/raw", {{"runtime_data", base64(runtime_data)}});
    ASSERT_EQ(answer.status, 200) << json::serialize(answer.body);
    const auto bytes = base::from_hex(text(answer.body, "report"));
    ASSERT_TRUE(bytes);
    const auto report = keybroker::evidence::decode_snp_report(*bytes);
    ASSERT_TRUE(report) << report.error().message;
    const auto claims_bytes =
        *vmgs::crypto::decode_base64(text(answer.body, "claims"), Base64::kPadded);
    const std::string claims_text(reinterpret_cast<const char*>(claims_bytes.data()),
                                  claims_bytes.size());
    const auto bound = vmgs::crypto::sha256(claims_bytes);
    EXPECT_TRUE(std::equal(bound.begin(), bound.end(), report->report_data.begin()));
    const auto claims = protocol::decode_runtime_claims(claims_text);
    ASSERT_TRUE(claims);
    const auto digest = vmgs::crypto::sha256(base::bytes_of(runtime_data));
    EXPECT_TRUE(std::equal(digest.begin(), digest.end(), claims->user_data->begin()));
    EXPECT_NE(text(answer.body, "report"), before);
    before = text(answer.body, "report");
  }
}

// The sidecar that this interface comes from goes on after an error, and answers twice.
TEST_F(SkrSidecarTest, WhatIsNoRequestGetsOneErrorAndNothingElse) {
  const auto vm = start_vm();
  const SkrSidecar sidecar(folder_.path(), tcti());
  for (const auto* path : {"/attest/raw", "/attest/maa", "/key/release"}) {
    for (const std::string body :
         {"", "{", "[]", "{}", "null", R"({"runtime_data":7})", R"({"runtime_data":"%%%"})",
          R"({"runtime_data":"b25l","more":1})", R"({"runtime_data":"b25l","runtime_data":"b25l"})",
          R"({"maa_endpoint":"https://a","runtime_data":"="})",
          R"({"maa_endpoint":"https://a","akv_endpoint":"https://a","kid":"../certs"})"}) {
      const auto answer = sidecar.ask("POST", path, body);
      EXPECT_EQ(answer.status, 400) << path << " " << body;
      EXPECT_FALSE(text(answer.body, "error").empty()) << path << " " << body;
      EXPECT_EQ(answer.body.size(), 1U) << json::serialize(answer.body);
    }
  }
  EXPECT_EQ(sidecar.ask("GET", "/key/release").status, 405);
  EXPECT_EQ(sidecar.ask("POST", "/vm/key/release").status, 404);
  EXPECT_EQ(sidecar.ask("POST", "/attest/raw", std::string(70'000, ' ')).status, 429);
}

TEST_F(SkrSidecarTest, NamesOfBrokersInARequestLeadNowhereElse) {
  const auto vm = start_vm();
  std::ofstream(folder_ / "ca.pem") << "";
  const SkrSidecar sidecar(folder_.path(), tcti(),
                           {"--broker", "https://127.0.0.1:1", "--ca", folder_ / "ca.pem"});
  for (const auto* endpoint : {"https://127.0.0.1:2", "http://127.0.0.1:1", "127.0.0.1", "",
                               "https://127.0.0.1:1.example", "https://x@127.0.0.1:1"}) {
    const auto token =
        sidecar.post("/attest/maa", {{"maa_endpoint", endpoint}, {"runtime_data", base64("one")}});
    EXPECT_EQ(token.status, 403);
    EXPECT_THAT(text(token.body, "error"), HasSubstr("is no broker of this sidecar's"));
    const auto key = sidecar.post(
        "/key/release",
        {{"maa_endpoint", "https://127.0.0.1:1"}, {"akv_endpoint", endpoint}, {"kid", "disk"}});
    EXPECT_EQ(key.status, 403);
    EXPECT_THAT(text(key.body, "error"), HasSubstr("is no broker of this sidecar's"));
  }
  const auto away = sidecar.post(
      "/attest/maa", {{"maa_endpoint", "127.0.0.1:1/"}, {"runtime_data", base64("one")}});
  EXPECT_EQ(away.status, 403);
  EXPECT_THAT(text(away.body, "error"), HasSubstr("https://127.0.0.1:1/challenge: "));
}

// Nothing stands in for a TPM, or for a report, that is not there.
TEST_F(SkrSidecarTest, WithoutATpmThereIsNoReport) {
  const SkrSidecar sidecar(folder_.path(), tcti());
  const auto status = sidecar.ask("GET", "/status");
  EXPECT_EQ(status.status, 200);
  EXPECT_EQ(text(status.body, "message"), "Status NOT OK");
  const auto raw = sidecar.post("/attest/raw", {{"runtime_data", base64("one")}});
  EXPECT_EQ(raw.status, 403);
  EXPECT_FALSE(raw.body.contains("report"));
}

TEST_F(SkrSidecarTest, WhoIsNeitherRootNorOfTheGroupIsKeptOut) {
  if (::geteuid() != 0) {
    GTEST_SKIP() << "only root can become somebody else";
  }
  std::filesystem::permissions(folder_.path(), std::filesystem::perms::others_exec,
                               std::filesystem::perm_options::add);
  SkrSidecar sidecar(folder_.path(), tcti(), {"--group", "daemon"});
  const auto status_as = [&](const std::string& user, const std::string& group) {
    return support::run_command({"/usr/bin/setpriv", "--reuid", user, "--regid", group,
                                 "--clear-groups", "/usr/bin/curl", "--silent", "--unix-socket",
                                 sidecar.socket(), "http://skr/status"});
  };
  EXPECT_THAT(status_as("nobody", "daemon").out, HasSubstr("Status"));
  const auto stranger = status_as("nobody", "nogroup");
  EXPECT_NE(stranger.status, 0);
  EXPECT_EQ(stranger.out, "");
  // Nor by the permissions of the socket alone.
  std::filesystem::permissions(sidecar.socket(), std::filesystem::perms::all);
  EXPECT_THAT(status_as("nobody", "nogroup").out, HasSubstr("may not call"));

  sidecar.process().signal(SIGTERM);
  EXPECT_EQ(sidecar.process().wait(std::chrono::seconds(20)), 0);
}

}  // namespace
}  // namespace tests::integration
