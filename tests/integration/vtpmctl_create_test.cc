// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include <fstream>

#include "keybroker/crypto/certificate.h"
#include "keybroker/protocol/launch_document.h"
#include "tests/integration/vtpmd.h"
#include "tests/support/temp_folder.h"
#include "tests/support/test_pki.h"
#include "vmgs/crypto/digest.h"
#include "vmgs/format/vm_id.h"

namespace tests::integration {
namespace {

namespace protocol = keybroker::protocol;
using testing::HasSubstr;

constexpr const char* kTenant = "11111111-2222-4333-8444-555555555555";

std::string content_of(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

// An operator who creates VMs whose key a broker has.
class VtpmctlCreateTest : public testing::Test {
 protected:
  [[nodiscard]] std::vector<std::string> with_broker(std::vector<std::string> more = {}) const {
    std::vector<std::string> line = {
        "create", "a",        "--tee", "sev-snp",       "--protection",
        "broker", "--tenant", kTenant, "--broker-root", pki_.authorities()};
    line.insert(line.end(), more.begin(), more.end());
    return line;
  }

  [[nodiscard]] protocol::LaunchDocument document(const std::string& file) const {
    const auto content = content_of(folder_ / file);
    const auto decoded = protocol::decode_launch_document(base::bytes_of(content));
    EXPECT_TRUE(decoded) << decoded.error().message;
    return decoded.value_or(protocol::LaunchDocument{});
  }

  // What vtpmctl says of a command line that it does not take.
  [[nodiscard]] std::string refusal(const std::vector<std::string>& line) const {
    const auto ran = vtpmd_.ctl(line);
    EXPECT_NE(ran.status, 0) << ran.out;
    EXPECT_NE(vtpmd_.ctl({"show", "a"}).status, 0) << "a VM was made";
    return ran.err;
  }

  support::TempFolder folder_;
  support::TestPki pki_{folder_.path(), "broker"};
  Vtpmd vtpmd_{folder_.path(), VTPM_INSTANCE_SIM};
};

TEST_F(VtpmctlCreateTest, WritesALaunchDocumentThatNamesTheBroker) {
  std::ofstream(folder_ / "policy.txt") << "run nothing but this";

  const auto ran =
      vtpmd_.ctl(with_broker({"--offline", "allow", "--execution-policy", folder_ / "policy.txt",
                              "--launch-document-out", folder_ / "a.launch"}));

  ASSERT_EQ(ran.status, 0) << ran.err;
  const auto written = document("a.launch");
  const auto pem = content_of(pki_.authorities());
  const auto root = keybroker::crypto::decode_pem_certificates(pem, 1);
  ASSERT_TRUE(root);
  EXPECT_EQ(written.broker_root_hashes,
            std::vector<protocol::Sha256Digest>{root->front().fingerprint()});
  EXPECT_EQ(written.protection, protocol::Protection::kBroker);
  EXPECT_EQ(written.anchor_class, protocol::AnchorClass::kBoot);
  EXPECT_EQ(written.offline_rule, protocol::OfflineRule::kAllow);
  EXPECT_EQ(written.policy_digest,
            vmgs::crypto::sha256(base::bytes_of(std::string("run nothing but this"))));
  EXPECT_EQ(to_string(vmgs::format::VmId{*written.tenant}), kTenant);
}

TEST_F(VtpmctlCreateTest, LeavesTheStartUntilTheVmIsRegistered) {
  const auto ran = vtpmd_.ctl(with_broker());

  ASSERT_EQ(ran.status, 0) << ran.err;
  EXPECT_EQ(vtpmd_.readiness("a"), "stopped");
  EXPECT_THAT(ran.err, HasSubstr("kbctl vm register"));
  EXPECT_THAT(ran.err, HasSubstr("vtpmctl start a"));
  EXPECT_FALSE(std::filesystem::exists(vtpmd_.text("a", "store_path")));
}

TEST_F(VtpmctlCreateTest, TheDocumentCanBeHadLaterAndMakesTheSameVm) {
  ASSERT_EQ(vtpmd_.ctl(with_broker({"--launch-document-out", folder_ / "first"})).status, 0);

  ASSERT_EQ(vtpmd_.ctl({"show", "a", "--launch-document", folder_ / "later"}).status, 0);
  EXPECT_EQ(content_of(folder_ / "later"), content_of(folder_ / "first"));
  EXPECT_EQ(vtpmd_.ctl({"show", "a", "--launch-document"}).out, content_of(folder_ / "first"));

  const auto digest = vtpmd_.text("a", "launch_digest");
  ASSERT_EQ(vtpmd_.ctl({"delete", "a", "--yes"}).status, 0);
  ASSERT_EQ(
      vtpmd_.ctl({"create", "b", "--launch-document", folder_ / "later", "--leave-stopped"}).status,
      0);
  EXPECT_EQ(vtpmd_.text("b", "launch_digest"), digest);
}

TEST_F(VtpmctlCreateTest, SaysWhatABrokersVmNeeds) {
  const auto without = [](const std::string& option) {
    std::vector<std::string> line = {
        "create", "a",        "--tee", "sev-snp",       "--protection",
        "broker", "--tenant", kTenant, "--broker-root", std::string(64, 'a')};
    const auto found = std::find(line.begin(), line.end(), option);
    line.erase(found, found + 2);
    return line;
  };
  EXPECT_THAT(refusal(without("--tee")), HasSubstr("--tee sev-snp"));
  EXPECT_THAT(refusal(without("--tenant")), HasSubstr("--tenant UUID"));
  EXPECT_THAT(refusal(without("--broker-root")), HasSubstr("--broker-root FILE.pem"));
}

TEST_F(VtpmctlCreateTest, TakesNoRootThatIsNone) {
  std::ofstream(folder_ / "not.pem") << "no certificate";
  EXPECT_THAT(refusal({"create", "a", "--tee", "tdx", "--broker-root", folder_ / "not.pem"}),
              HasSubstr("neither one certificate in PEM nor its SHA-256"));
  EXPECT_THAT(refusal({"create", "a", "--tee", "tdx", "--broker-root", folder_ / "none.pem"}),
              HasSubstr("none.pem"));
}

TEST_F(VtpmctlCreateTest, TakesOneStatementOfThePolicy) {
  std::ofstream(folder_ / "policy.txt") << "x";
  EXPECT_THAT(refusal({"create", "a", "--tee", "tdx", "--execution-policy", folder_ / "policy.txt",
                       "--policy-digest", std::string(64, 'a')}),
              HasSubstr("give one of them"));
}

}  // namespace
}  // namespace tests::integration
