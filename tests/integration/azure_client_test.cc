// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <ostream>
#include <span>

#include "keybroker/evidence/hcl_report.h"
#include "keybroker/evidence/snp_report.h"
#include "keybroker/evidence/td_report.h"
#include "keybroker/evidence/tpm_public.h"
#include "keybroker/protocol/extended_claims.h"
#include "keybroker/protocol/launch_document.h"
#include "keybroker/protocol/runtime_claims.h"
#include "tests/integration/instance.h"
#include "tests/support/command.h"
#include "tests/support/temp_folder.h"
#include "vmgs/crypto/digest.h"

namespace tests::integration {
namespace {

namespace evidence = keybroker::evidence;
namespace protocol = keybroker::protocol;
using protocol::Lifetime;
using protocol::Protection;
using protocol::TeeFamily;
using support::TempFolder;

constexpr const char* kReport = "0x01400001";
constexpr const char* kUserData = "0x01400002";
constexpr const char* kExtendedClaims = "0x01400003";
constexpr const char* kAk = "0x81000003";
constexpr const char* kEccAk = "0x81000005";
constexpr const char* kAllPcrs =
    "sha256:0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23";

// A VM of each kind.
struct Kind {
  const char* name;
  TeeFamily family;
  Lifetime lifetime;
};

std::ostream& operator<<(std::ostream& out, const Kind& kind) { return out << kind.name; }

// What software that was written for Azure's confidential VMs does, with the tools that people use.
class AzureClientTest : public testing::TestWithParam<Kind> {
 protected:
  AzureClientTest() {
    ::setenv("STRONGROOM_SIMULATED_MACHINE", (folder_ / "machine").c_str(), 1);
    // The tools look for the control socket beside the data socket.
    std::filesystem::create_symlink("ctrl", folder_ / "data.ctrl");
    ::setenv("TPM2TOOLS_TCTI", ("swtpm:path=" + (folder_ / "data").string()).c_str(), 1);
  }

  ~AzureClientTest() override {
    ::unsetenv("STRONGROOM_SIMULATED_MACHINE");
    ::unsetenv("TPM2TOOLS_TCTI");
  }

  [[nodiscard]] bool confidential() const { return GetParam().family != TeeFamily::kNone; }

  [[nodiscard]] bool persistent() const { return GetParam().lifetime == Lifetime::kPersistent; }

  // Starts the VM: its instance, and its firmware.
  [[nodiscard]] Instance start() const {
    std::vector<std::string> options = {"--data", folder_ / "data"};
    if (confidential()) {
      protocol::LaunchDocument document;
      document.vm_id.fill(std::byte{0x11});
      document.tee_family = GetParam().family;
      document.lifetime = GetParam().lifetime;
      document.protection = persistent() ? Protection::kHardware : Protection::kNone;
      write("launch", *encode(document));
      options.insert(options.end(), {"--launch-document", folder_ / "launch"});
    } else {
      options.insert(options.end(), {"--lifetime", std::string(name(GetParam().lifetime))});
    }
    if (persistent()) {
      options.insert(options.end(), {"--vmgs", folder_ / "vm.vmgs", "--create"});
    }
    Instance instance(folder_.path(), confidential() ? VTPM_INSTANCE_SIM : VTPM_INSTANCE, options);
    tool({"startup", "-c"});
    return instance;
  }

  void write(const std::string& name, base::ByteView bytes) const {
    std::ofstream file(folder_ / name, std::ios::binary);
    file.write(reinterpret_cast<const char*>(bytes.data()),
               static_cast<std::streamsize>(bytes.size()));
  }

  [[nodiscard]] base::Bytes read(const std::string& name) const {
    std::ifstream file(folder_ / name, std::ios::binary);
    const std::string content(std::istreambuf_iterator<char>(file), {});
    return base::copy_of(base::bytes_of(content));
  }

  static support::Ran run(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "/usr/bin/tpm2");
    return support::run_command(arguments);
  }

  static std::string tool(const std::vector<std::string>& arguments) {
    const auto ran = run(arguments);
    EXPECT_EQ(ran.status, 0) << testing::PrintToString(arguments) << ran.err;
    return ran.out;
  }

  // Owner-authorized reads in pieces of 1024 bytes, from the beginning.
  static base::Bytes read_index(const std::string& index) {
    base::Bytes content;
    for (const char* offset : {"0", "1024"}) {
      const auto piece = tool({"nvread", "-C", "o", "-s", "1024", "--offset", offset, index});
      const auto bytes = base::bytes_of(piece);
      content.insert(content.end(), bytes.begin(), bytes.end());
    }
    return content;
  }

  // As az-cvm-vtpm does: an index of another size is undefined first.
  void write_user_data(base::ByteView data) const {
    if (run({"nvreadpublic", kUserData}).status == 0) {
      tool({"nvundefine", "-C", "o", kUserData});
    }
    tool({"nvdefine", "-C", "o", "-s", std::to_string(data.size()), "-a", "ownerread|ownerwrite",
          kUserData});
    write("user-data", data);
    tool({"nvwrite", "-C", "o", "-i", folder_ / "user-data", kUserData});
  }

  struct Read {
    evidence::HclReport hcl;
    protocol::RuntimeClaims claims;
  };

  Read read_report() const {
    auto hcl = evidence::decode_hcl_report(read_index(kReport));
    if (!hcl) {
      ADD_FAILURE() << hcl.error().message;
      return {};
    }
    auto claims = protocol::decode_runtime_claims(hcl->claims);
    if (!claims) {
      ADD_FAILURE() << claims.error().message;
      return {};
    }
    return {*std::move(hcl), *std::move(claims)};
  }

  // As a claim has it: with zeros behind.
  static protocol::UserData user_data(base::ByteView data) {
    protocol::UserData claim{};
    std::ranges::copy(data, claim.begin());
    return claim;
  }

  // The Name of the key at a handle.
  [[nodiscard]] base::Bytes name_of(const std::string& handle) const {
    tool({"readpublic", "-Q", "-c", handle, "-f", "pem", "-o", folder_ / "key.pem", "-n",
          folder_ / "key.name"});
    return read("key.name");
  }

  TempFolder folder_;
};

TEST_P(AzureClientTest, FindsAReportThatCarriesWhatItHasJustWritten) {
  const auto instance = start();
  for (unsigned char value = 1; value <= 3; ++value) {
    const base::Bytes data(64, std::byte{value});
    write_user_data(data);

    const auto report = read_report();

    EXPECT_EQ(report.claims.user_data, user_data(data)) << instance.log();
  }
  write_user_data(base::Bytes(4, std::byte{9}));
  EXPECT_EQ(read_report().claims.user_data, user_data(base::Bytes(4, std::byte{9})));
}

TEST_P(AzureClientTest, FindsClaimsThatTheHardwareReportBinds) {
  const auto instance = start();
  const auto report = read_report();
  const auto digest = vmgs::crypto::sha256(base::bytes_of(report.hcl.claims));
  switch (GetParam().family) {
    case TeeFamily::kSevSnp: {
      ASSERT_EQ(report.hcl.type, evidence::HclReportType::kSnp);
      const auto snp = *evidence::decode_snp_report(report.hcl.hardware_report);
      EXPECT_EQ(base::to_hex(std::span(snp.report_data).first(32)), base::to_hex(digest));
      EXPECT_EQ(snp.vmpl, 0U);
      break;
    }
    case TeeFamily::kTdx: {
      ASSERT_EQ(report.hcl.type, evidence::HclReportType::kTdx);
      const auto tdx = *evidence::decode_td_report(report.hcl.hardware_report);
      EXPECT_EQ(base::to_hex(std::span(tdx.report_data).first(32)), base::to_hex(digest));
      break;
    }
    case TeeFamily::kNone:
      EXPECT_EQ(report.hcl.type, evidence::HclReportType::kTrustedVm);
  }
  EXPECT_EQ(report.claims.vm.tpm_persisted, persistent());

  auto extended = read_index(kExtendedClaims);
  extended.resize(
      static_cast<std::size_t>(std::ranges::find(extended, std::byte{0}) - extended.begin()));
  EXPECT_EQ(vmgs::crypto::sha256(extended), report.claims.extended_digest);
  const auto claims = protocol::decode_extended_claims(
      std::string(reinterpret_cast<const char*>(extended.data()), extended.size()));
  ASSERT_TRUE(claims) << claims.error().message;
  EXPECT_EQ(claims->ak_name, name_of(kAk));
  EXPECT_EQ(claims->ecc_ak_name, name_of(kEccAk));
  EXPECT_EQ(claims->ek_name, name_of("0x81010001"));
  EXPECT_EQ(claims->lifetime, GetParam().lifetime);
  EXPECT_EQ(claims->tee_simulated, confidential());
}

TEST_P(AzureClientTest, QuotesWithTheAkOfTheClaims) {
  const auto instance = start();
  const auto report = read_report();
  const auto file = [this](const char* name) { return (folder_ / name).string(); };
  for (const char* handle : {kAk, kEccAk}) {
    const auto name = name_of(handle);
    tool({"quote", "-Q", "-c", handle, "-l", kAllPcrs, "-q", "6e6f6e6365", "-m", file("quote"),
          "-s", file("signature"), "-o", file("pcrs")});
    tool({"checkquote", "-Q", "-u", file("key.pem"), "-m", file("quote"), "-s", file("signature"),
          "-f", file("pcrs"), "-q", "6e6f6e6365"});
    if (handle == kAk) {
      EXPECT_EQ(evidence::template_ak_name({.modulus = report.claims.keys.at(0).modulus,
                                            .exponent = report.claims.keys.at(0).exponent}),
                name);
    }
  }
}

TEST_P(AzureClientTest, KeepsItsAkAsLongAsItsTpm) {
  base::Bytes ak;
  for (int start_number = 0; start_number < 2; ++start_number) {
    auto instance = start();
    const auto again = name_of(kAk);
    if (start_number > 0) {
      EXPECT_EQ(again == ak, persistent());
    }
    ak = again;
    read_report();
    EXPECT_EQ(instance.stop(), 0) << instance.log();
  }
  if (!persistent()) {
    for (const auto& entry : std::filesystem::directory_iterator(folder_.path())) {
      EXPECT_EQ(entry.path().string().find("vmgs"), std::string::npos) << entry.path();
    }
  }
}

TEST_P(AzureClientTest, SeesNothingOfTheWorkThatWasDoneBefore) {
  const auto instance = start();
  EXPECT_THAT(tool({"pcrread", "sha256:0,7"}), testing::HasSubstr("0x" + std::string(64, '0')));
  EXPECT_EQ(tool({"getcap", "handles-transient"}), "");
  EXPECT_EQ(tool({"getcap", "handles-loaded-session"}), "");
  const auto indices = tool({"getcap", "handles-nv-index"});
  for (const char* index : {"0x1400001", "0x1400003", "0x1C101D0", "0x1C101D1"}) {
    EXPECT_THAT(indices, testing::HasSubstr(index));
  }
  const auto keys = tool({"getcap", "handles-persistent"});
  for (const char* key :
       {"0x81000001", "0x81000002", "0x81000003", "0x81000005", "0x81010001", "0x81010002"}) {
    EXPECT_THAT(keys, testing::HasSubstr(key));
  }
}

// The guest's owner gives itself a password, clears the TPM, takes the handle: whatever it does, it
// finds its AK at the next start, or a TPM that says why not.
TEST_P(AzureClientTest, FindsItsAkAfterHavingOwnedClearedAndSquatted) {
  if (!persistent()) {
    GTEST_SKIP() << "there is no next start";
  }
  base::Bytes ak;
  {
    auto instance = start();
    ak = name_of(kAk);
    tool({"changeauth", "-c", "owner", "secret"});
    EXPECT_EQ(instance.stop(), 0);
  }
  {
    auto instance = start();
    EXPECT_EQ(name_of(kAk), ak) << "owned";
    tool({"nvdefine", "-C", "o", "-P", "secret", "-s", "64", "-a", "ownerread|ownerwrite",
          kUserData});
    write("user-data", base::Bytes(64, std::byte{5}));
    tool({"nvwrite", "-C", "o", "-P", "secret", "-i", folder_ / "user-data", kUserData});
    const auto report = tool({"nvread", "-C", "o", "-P", "secret", kReport});
    EXPECT_THAT(report, testing::HasSubstr("\"user-data\":\"05050505"));
    EXPECT_EQ(instance.stop(), 0);
  }
  {
    auto instance = start();
    tool({"evictcontrol", "-Q", "-C", "o", "-P", "secret", "-c", kAk});
    EXPECT_EQ(instance.stop(), 0);
  }
  {
    auto instance = start();
    EXPECT_NE(run({"readpublic", "-c", kAk}).status, 0);
    EXPECT_THAT(instance.log(), testing::HasSubstr("ak-missing"));
    EXPECT_NE(run({"nvread", "-C", "o", "-P", "secret", kReport}).status, 0);
    tool({"clear"});
    EXPECT_EQ(instance.stop(), 0);
  }
  auto instance = start();
  EXPECT_EQ(name_of(kAk), ak) << "cleared";
  read_report();
}

INSTANTIATE_TEST_SUITE_P(
    Vms, AzureClientTest,
    testing::Values(Kind{"Snp", TeeFamily::kSevSnp, Lifetime::kPersistent},
                    Kind{"Tdx", TeeFamily::kTdx, Lifetime::kPersistent},
                    Kind{"SnpEphemeral", TeeFamily::kSevSnp, Lifetime::kEphemeral},
                    Kind{"TdxEphemeral", TeeFamily::kTdx, Lifetime::kEphemeral},
                    Kind{"Ordinary", TeeFamily::kNone, Lifetime::kPersistent},
                    Kind{"OrdinaryEphemeral", TeeFamily::kNone, Lifetime::kEphemeral}),
    [](const testing::TestParamInfo<Kind>& kind) { return kind.param.name; });

}  // namespace
}  // namespace tests::integration
