// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <ostream>

#include "keybroker/protocol/launch_document.h"
#include "keybroker/protocol/uuid.h"
#include "tests/integration/instance.h"
#include "tests/support/command.h"
#include "tests/support/temp_folder.h"
#include "vmgs/base/bytes.h"

namespace tests::integration {
namespace {

namespace json = boost::json;
namespace protocol = keybroker::protocol;
using protocol::TeeFamily;
using testing::HasSubstr;
using testing::StartsWith;

constexpr const char* kVmId = "11111111-1111-1111-1111-111111111111";
constexpr const char* kNonce = "00112233445566778899aabbccddeeff";
constexpr int kSimulated = 3;
constexpr int kRefused = 5;
constexpr int kIntegrity = 6;

std::string content(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(in), {});
}

// A guest collects evidence out of its TPM; its owner, who has what the machine's vendor publishes
// and a policy, verifies it.
class GuestAttestationTest : public testing::TestWithParam<TeeFamily> {
 protected:
  GuestAttestationTest() {
    ::setenv("STRONGROOM_SIMULATED_MACHINE", (folder_ / "machine").c_str(), 1);
    std::filesystem::create_symlink("ctrl", folder_ / "data.ctrl");
  }

  ~GuestAttestationTest() override { ::unsetenv("STRONGROOM_SIMULATED_MACHINE"); }

  [[nodiscard]] bool snp() const { return GetParam() == TeeFamily::kSevSnp; }

  [[nodiscard]] std::string tcti() const { return "swtpm:path=" + (folder_ / "data").string(); }

  [[nodiscard]] Instance start_vm() const {
    protocol::LaunchDocument document;
    document.vm_id = *protocol::parse_uuid(kVmId);
    document.tee_family = GetParam();
    document.lifetime = protocol::Lifetime::kEphemeral;
    document.protection = protocol::Protection::kNone;
    const auto bytes = *encode(document);
    write("launch", {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
    Instance instance(folder_.path(), VTPM_INSTANCE_SIM,
                      {"--data", folder_ / "data", "--launch-document", folder_ / "launch"});
    EXPECT_EQ(support::run_command({"/usr/bin/tpm2", "startup", "-c", "-T", tcti()}).status, 0);
    return instance;
  }

  void write(const std::string& name, std::string_view text) const {
    std::ofstream(folder_ / name, std::ios::binary) << text;
  }

  // Gives the measurement of the machine's VMs.
  [[nodiscard]] std::string publish() const {
    const auto ran =
        support::run_command({SIMULATED_MACHINE, "publish", folder_ / "vendor", "--json"});
    EXPECT_EQ(ran.status, 0) << ran.err;
    return std::string(json::parse(ran.out).at("measurement").as_string());
  }

  void write_policy(const std::string& measurement, const std::string& vm_id = kVmId) const {
    json::object policy = {{"schema", "strongroom.policy/1"},
                           {"vm_id", vm_id},
                           {"hcl", {{"form", "own"}}},
                           {"quote", {{"required", true}}}};
    if (snp()) {
      policy["snp"] = {{"measurement", measurement}};
    } else {
      policy["tdx"] = {{"mrtd", measurement}};
    }
    write("policy.json", json::serialize(policy));
  }

  [[nodiscard]] support::Ran collect() const {
    std::vector<std::string> command = {
        ATTEST_TOOL, "collect",     "--tcti", tcti(),     "--nonce",
        kNonce,      "--event-log", "none",   "--output", folder_ / "bundle"};
    if (snp()) {
      command.insert(command.end(),
                     {"--snp-certificates", folder_ / "vendor/snp-certificates.pem"});
    } else {
      const auto read =
          support::run_command({"/usr/bin/tpm2", "nvread", "-T", tcti(), "-C", "o", "0x01400001"});
      write("report", read.out);
      const auto quoted = support::run_command(
          {SIMULATED_MACHINE, "quote", folder_ / "report", "--output", folder_ / "quote"});
      EXPECT_EQ(quoted.status, 0) << quoted.err;
      command.insert(command.end(), {"--td-quote", folder_ / "quote", "--cc-event-log", "none"});
    }
    return support::run_command(command);
  }

  [[nodiscard]] support::Ran verify(const std::vector<std::string>& more) const {
    std::vector<std::string> command = {ATTEST_TOOL,
                                        "verify",
                                        folder_ / "bundle",
                                        "--policy",
                                        folder_ / "policy.json",
                                        "--collateral",
                                        folder_ / "vendor/collateral"};
    command.insert(command.end(), more.begin(), more.end());
    return support::run_command(command);
  }

  [[nodiscard]] std::vector<std::string> trusting(const std::string& nonce = kNonce) const {
    return {"--nonce", nonce, "--trust-simulator", folder_ / "vendor/root.pem"};
  }

  support::TempFolder folder_;
};

TEST_P(GuestAttestationTest, LeadsFromTheTpmOfAGuestToAVerdict) {
  const auto vm = start_vm();
  write_policy(publish());
  const auto collected = collect();
  ASSERT_EQ(collected.status, 0) << collected.err;

  const auto accepted = verify(trusting());
  EXPECT_EQ(accepted.status, kSimulated) << accepted.out << accepted.err;
  EXPECT_THAT(accepted.out, StartsWith("SIMULATED"));
  EXPECT_THAT(accepted.out, HasSubstr("accepted\n"));

  // Nothing but the word of who runs this makes a simulator's root count.
  const auto untrusted = verify({"--nonce", kNonce});
  EXPECT_EQ(untrusted.status, kIntegrity) << untrusted.out;
  EXPECT_THAT(untrusted.out, StartsWith("refused"));

  const auto other_nonce = verify(trusting("ff"));
  EXPECT_THAT(other_nonce.out, HasSubstr("refused: nonce"));

  write_policy(publish(), "22222222-2222-2222-2222-222222222222");
  const auto other_vm = verify(trusting());
  EXPECT_EQ(other_vm.status, kRefused) << other_vm.out;

  write_policy(std::string(96, 'a'));
  const auto other_image = verify(trusting());
  EXPECT_EQ(other_image.status, kRefused) << other_image.out;
}

TEST_P(GuestAttestationTest, RefusesABundleInWhichSomebodyChangedAnything) {
  const auto vm = start_vm();
  write_policy(publish());
  ASSERT_EQ(collect().status, 0);
  const auto genuine = json::parse(content(folder_ / "bundle")).as_object();

  const auto verify_changed = [&](auto change) {
    auto bundle = genuine;
    change(bundle);
    write("bundle", json::serialize(bundle));
    return verify(trusting());
  };
  // The first PCR that was quoted has another value.
  const auto pcr = verify_changed([](json::object& bundle) {
    bundle["quotes"].as_array()[0].as_object()["pcrs"].as_object()["0"] = std::string(64, '1');
  });
  EXPECT_EQ(pcr.status, kIntegrity);
  EXPECT_THAT(pcr.out, HasSubstr("refused: pcr"));
  // The report says something else in its claims; A stands for six bits of zero.
  const auto claims = verify_changed([](json::object& bundle) {
    auto text = std::string(bundle["hcl_report"].as_string());
    auto& digit = text[0x500 * 4 / 3];
    digit = digit == 'A' ? 'B' : 'A';
    bundle["hcl_report"] = text;
  });
  EXPECT_EQ(claims.status, kIntegrity) << claims.out;
  EXPECT_THAT(claims.out, HasSubstr("refused: "));
  const auto none = verify_changed([](json::object& bundle) { bundle.erase("hcl_report"); });
  EXPECT_NE(none.status, kSimulated) << none.out;
  EXPECT_THAT(none.out, HasSubstr("refused"));
}

INSTANTIATE_TEST_SUITE_P(Tees, GuestAttestationTest,
                         testing::Values(TeeFamily::kSevSnp, TeeFamily::kTdx), [](const auto& tee) {
                           return tee.param == TeeFamily::kTdx ? "Tdx" : "SevSnp";
                         });

}  // namespace
}  // namespace tests::integration
