// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <ostream>

#include "keybroker/crypto/certificate.h"
#include "keybroker/crypto/crl.h"
#include "keybroker/evidence/hcl_report.h"
#include "tests/integration/simulated_authority.h"
#include "tests/integration/vtpmd.h"
#include "tests/support/temp_folder.h"

namespace tests::integration {
namespace {

namespace fs = std::filesystem;
using keybroker::crypto::Certificate;
using keybroker::crypto::PublicKey;
using support::TempFolder;
using testing::HasSubstr;

constexpr const char* kAk = "0x81000003";
constexpr const char* kLeaf = "0x01C101D0";
constexpr const char* kChain = "0x01C101D1";

// A VM of each kind that an authority certifies.
struct Kind {
  const char* name;
  const char* tee;       // of the simulated machine; empty: an ordinary VM
  const char* ca_class;  // of the authority's
};

std::ostream& operator<<(std::ostream& out, const Kind& kind) { return out << kind.name; }

std::string content_of(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

// A VM of vtpmd's, with the tools that people use in its guest.
class VtpmdCertificatesTest : public testing::TestWithParam<Kind> {
 protected:
  VtpmdCertificatesTest() {
    ::setenv("STRONGROOM_SIMULATED_MACHINE", (folder_ / "machine").c_str(), 1);
    start_vtpmd(certifying());
  }

  ~VtpmdCertificatesTest() override {
    ::unsetenv("STRONGROOM_SIMULATED_MACHINE");
    ::unsetenv("TPM2TOOLS_TCTI");
  }

  [[nodiscard]] static bool confidential() { return *GetParam().tee != '\0'; }

  // What vtpmd is started with in order to certify this kind of VM.
  [[nodiscard]] std::vector<std::string> certifying() const {
    return confidential() ? certifying_simulated(folder_.path(), GetParam().tee)
                          : std::vector<std::string>();
  }

  void start_vtpmd(const std::vector<std::string>& options) {
    vtpmd_.emplace(folder_.path(), confidential() ? VTPM_INSTANCE_SIM : VTPM_INSTANCE, options);
  }

  // With its guest's tools at hand, which the firmware has made ready.
  void create(std::vector<std::string> options = {}) {
    if (confidential()) {
      options.insert(options.end(), {"--tee", GetParam().tee});
    }
    options.insert(options.begin(), {"create", "vm"});
    (void)vtpmd_->ctl(options);
    boot();
  }

  void boot() {
    const auto control = vtpmd_->text("vm", "control_socket");
    const auto data = control.substr(0, control.size() - std::string(".ctrl").size());
    ::setenv("TPM2TOOLS_TCTI", ("swtpm:path=" + data).c_str(), 1);
    EXPECT_EQ(vtpmd_->ctl({"start", "vm"}).status, 0) << vtpmd_->log();
    tool({"startup", "-c"});
  }

  void stop() {
    EXPECT_EQ(vtpmd_->ctl({"stop", "vm", "--force"}).status, 0);
    vtpmd_->wait_for("vm", "stopped");
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

  // Owner-authorized reads in pieces of 1024 bytes, as Azure's clients do.
  static std::string read_index(const std::string& index, const std::string& owner = "") {
    std::string content;
    for (const char* offset : {"0", "1024"}) {
      std::vector<std::string> command = {"nvread", "-C",       "o",    "-s",
                                          "1024",   "--offset", offset, index};
      if (!owner.empty()) {
        command.insert(command.end(), {"-P", owner});
      }
      content += tool(command);
    }
    return content;
  }

  // DER certificates one behind the other, then zeros.
  static std::vector<Certificate> certificates_in(std::string content) {
    std::vector<Certificate> certificates;
    while (content.size() > 4 && content.starts_with("\x30\x82")) {
      const auto size = 4U + (static_cast<unsigned char>(content[2]) << 8U) +
                        static_cast<unsigned char>(content[3]);
      auto certificate = Certificate::decode(base::bytes_of(content.substr(0, size)));
      EXPECT_TRUE(certificate) << certificate.error().message;
      if (!certificate) {
        return {};
      }
      certificates.push_back(*std::move(certificate));
      content.erase(0, size);
    }
    EXPECT_TRUE(base::is_all_zero(base::bytes_of(content)));
    EXPECT_FALSE(certificates.empty());
    return certificates;
  }

  static Certificate leaf(const std::string& owner = "") {
    return certificates_in(read_index(kLeaf, owner)).at(0);
  }

  [[nodiscard]] PublicKey key_at(const std::string& handle) const {
    tool({"readpublic", "-Q", "-c", handle, "-f", "pem", "-o", folder_ / "key.pem"});
    return *PublicKey::from_pem(content_of(folder_ / "key.pem"));
  }

  TempFolder folder_;
  std::optional<Vtpmd> vtpmd_;
};

TEST_P(VtpmdCertificatesTest, AGuestFindsTheCertificateOfItsAkAtItsFirstRead) {
  create();
  const auto certificate = leaf();
  const auto chain = certificates_in(read_index(kChain));

  EXPECT_EQ(*certificate.public_key(), key_at(kAk));
  EXPECT_TRUE(keybroker::crypto::verify_issued(certificate, *chain.at(0).public_key()));
  const auto roots = vtpmd_->ctl({"authority", "roots", "--class", GetParam().ca_class});
  ASSERT_EQ(roots.status, 0) << roots.err;
  const auto root = keybroker::crypto::decode_pem_certificates(roots.out, 1);
  ASSERT_TRUE(root) << root.error().message << roots.out;
  EXPECT_TRUE(keybroker::crypto::verify_issued(chain.back(), *root->at(0).public_key()));
  for (const auto& [index, handle] :
       {std::pair{"0x01C00002", "0x81010001"}, std::pair{"0x01C0000A", "0x81010002"}}) {
    const auto of_ek = certificates_in(tool({"nvread", "-C", "o", index}));
    EXPECT_EQ(*of_ek.at(0).public_key(), key_at(handle)) << index;
  }
  EXPECT_EQ(vtpmd_->readiness("vm"), "ready");
}

TEST_P(VtpmdCertificatesTest, ItStaysOverStartsWhateverTheGuestOwns) {
  create();
  const auto first = leaf();
  for (const char* hierarchy : {"owner", "endorsement", "lockout"}) {
    tool({"changeauth", "-Q", "-c", hierarchy, "secret"});
  }
  stop();
  boot();
  EXPECT_EQ(leaf("secret"), first);
  EXPECT_EQ(vtpmd_->readiness("vm"), "ready");
}

// A guest that has its platform's authorization can remove what is the platform's.
TEST_P(VtpmdCertificatesTest, ALostOneIsRenewedWhateverTheGuestOwns) {
  create();
  const auto first = leaf();
  tool({"nvundefine", "-Q", "-C", "p", kLeaf});
  for (const char* hierarchy : {"owner", "endorsement", "lockout"}) {
    tool({"changeauth", "-Q", "-c", hierarchy, "secret"});
  }
  stop();
  boot();
  const auto renewed = leaf("secret");
  EXPECT_NE(renewed, first);
  EXPECT_EQ(*renewed.public_key(), key_at(kAk));
  EXPECT_EQ(vtpmd_->readiness("vm"), "ready") << vtpmd_->log();
}

// Who revokes what a TPM has may have it certified anew, and nothing of what was revoked is shown.
TEST_P(VtpmdCertificatesTest, TheStartAfterARevocationBringsNewOnes) {
  create();
  const auto certificates = [] {
    std::vector<Certificate> found = {leaf()};
    for (const char* index : {"0x01C00002", "0x01C0000A"}) {
      found.push_back(certificates_in(tool({"nvread", "-C", "o", index})).at(0));
    }
    return found;
  };
  const auto before = certificates();
  EXPECT_EQ(vtpmd_->ctl({"revoke", "vm"}).status, 0) << vtpmd_->log();
  stop();
  boot();
  const auto after = certificates();
  const auto chain = certificates_in(read_index(kChain));
  const auto der = vtpmd_->ctl({"authority", "crl", "--class", GetParam().ca_class, "--der"}).out;
  const auto list = keybroker::crypto::Crl::decode(base::bytes_of(der));
  ASSERT_TRUE(list) << list.error().message;
  EXPECT_TRUE(list->verify(*chain.at(0).public_key()));
  for (std::size_t i = 0; i < before.size(); ++i) {
    EXPECT_TRUE(list->revokes(before[i])) << i;
    EXPECT_FALSE(list->revokes(after[i])) << i;
    EXPECT_EQ(*after[i].public_key(), *before[i].public_key()) << i;
    EXPECT_TRUE(keybroker::crypto::verify_issued(after[i], *chain.at(0).public_key())) << i;
  }
  EXPECT_EQ(vtpmd_->readiness("vm"), "ready") << vtpmd_->log();
}

TEST_P(VtpmdCertificatesTest, AGuestThatRemovesItsAkFindsItAgain) {
  create();
  const auto ak = key_at(kAk);
  tool({"clear", "-Q"});
  EXPECT_EQ(key_at(kAk), ak);
  tool({"evictcontrol", "-Q", "-C", "o", "-c", kAk});
  EXPECT_EQ(key_at(kAk), ak);
  tool({"changeauth", "-Q", "-c", "owner", "secret"});
  tool({"evictcontrol", "-Q", "-C", "o", "-P", "secret", "-c", kAk});
  vtpmd_->wait_for("vm", "ak-missing");
  EXPECT_NE(run({"readpublic", "-c", kAk}).status, 0);
  tool({"changeauth", "-Q", "-c", "owner", "-p", "secret"});
  vtpmd_->wait_for("vm", "ready");
  EXPECT_EQ(key_at(kAk), ak);
}

TEST_P(VtpmdCertificatesTest, ResetsAreCountedAsDocumented) {
  create();
  const auto resets = [] {
    const auto clock = tool({"readclock"});
    const auto at = clock.find("reset_count: ");
    EXPECT_NE(at, std::string::npos) << clock;
    return std::stoi(clock.substr(at + 13));
  };
  const int before = resets();
  stop();
  boot();
  EXPECT_EQ(resets(), before + 2) << "the life of our own, and the guest's";
  EXPECT_THAT(tool({"pcrread", "sha256:0,7"}), HasSubstr("0x" + std::string(64, '0')));
}

// Everything that an ephemeral VM's TPM is lives in memory. What the authority has issued is its
// own record.
TEST_P(VtpmdCertificatesTest, AnEphemeralTpmAttestsAndLeavesNothingInAnyFile) {
  create({"--lifetime", "ephemeral"});
  const auto certificate = leaf();
  const auto ak = key_at(kAk);
  EXPECT_EQ(*certificate.public_key(), ak);
  const auto report = read_index("0x01400001");
  ASSERT_TRUE(keybroker::evidence::decode_hcl_report(base::bytes_of(report)));
  const std::string secret = "what the guest of an ephemeral VM writes";
  std::ofstream(folder_ / "input") << secret;
  tool({"nvdefine", "-Q", "-C", "o", "-s", "64", "0x01500016"});
  tool({"nvwrite", "-Q", "-C", "o", "-i", folder_ / "input", "0x01500016"});
  fs::remove(folder_ / "input");
  fs::remove(folder_ / "key.pem");
  const auto text = [](const base::Bytes& bytes) {
    return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  };
  const auto modulus = ak.rsa_numbers()->modulus;
  auto reversed = modulus;
  std::reverse(reversed.begin(), reversed.end());
  const auto ek = certificates_in(tool({"nvread", "-C", "o", "0x01C00002"})).at(0);
  const std::vector<std::string> traces = {secret,
                                           text(certificate.der()),
                                           text(certificate.serial()),
                                           text(modulus),
                                           text(reversed),
                                           base::to_hex(modulus),
                                           text(ek.public_key()->rsa_numbers()->modulus),
                                           text(ek.der()),
                                           "HCLA",
                                           "libtpms"};
  const auto expect_no_trace = [&](const char* when) {
    int looked_at = 0;
    for (const auto& entry : fs::recursive_directory_iterator(folder_.path())) {
      const bool is_authoritys =
          entry.path().string().find("/state/authority/") != std::string::npos;
      if (!entry.is_regular_file() || is_authoritys) {
        continue;
      }
      ++looked_at;
      const auto content = content_of(entry.path());
      for (std::size_t i = 0; i < traces.size(); ++i) {
        EXPECT_EQ(content.find(traces[i]), std::string::npos) << when << entry.path() << i;
      }
    }
    EXPECT_GT(looked_at, 1) << "the registry at least";
  };
  expect_no_trace("while it runs: ");
  stop();
  expect_no_trace("afterwards: ");

  boot();
  EXPECT_NE(key_at(kAk), ak);
  EXPECT_EQ(*leaf().public_key(), key_at(kAk));
  EXPECT_EQ(vtpmd_->readiness("vm"), "ready");
}

INSTANTIATE_TEST_SUITE_P(Vms, VtpmdCertificatesTest,
                         testing::Values(Kind{"Ordinary", "", "host"},
                                         Kind{"Snp", "sev-snp", "simulated"},
                                         Kind{"Tdx", "tdx", "simulated"}),
                         [](const testing::TestParamInfo<Kind>& kind) { return kind.param.name; });

// An authority that does not certify this kind of VM keeps it from nothing but its certificate.
class VtpmdRefusalTest : public VtpmdCertificatesTest {
 protected:
  // Its policy is for another image.
  [[nodiscard]] std::vector<std::string> refusing() const {
    auto options = certifying();
    std::ofstream(folder_ / "policy.json")
        << R"({"schema": "strongroom.policy/1", "snp": {"measurement": ")" << std::string(96, 'a')
        << R"("}})";
    return options;
  }
};

TEST_P(VtpmdRefusalTest, ARefusalIsAReadinessAndTheOldCertificateStays) {
  start_vtpmd(refusing());
  create();
  // What an instance says first is what counts, to whoever asks and whenever.
  for (int i = 0; i < 5; ++i) {
    const auto name = "twin" + std::to_string(i);
    const auto made = vtpmd_->ctl({"create", name, "--tee", GetParam().tee});
    EXPECT_EQ(made.status, 3) << made.out << made.err;
    EXPECT_EQ(vtpmd_->ctl({"create", name, "--tee", GetParam().tee}).status, 3);
  }
  EXPECT_EQ(vtpmd_->readiness("vm"), "ak-cert-refused");
  EXPECT_THAT(vtpmd_->text("vm", "readiness.reason"), testing::HasSubstr("snp-measurement"));
  EXPECT_NE(run({"nvread", "-C", "o", kLeaf}).status, 0) << "it was never written";
  EXPECT_EQ(run({"getrandom", "8"}).status, 0);
  stop();

  start_vtpmd(certifying());
  boot();
  const auto first = leaf();
  EXPECT_EQ(vtpmd_->readiness("vm"), "ready");
  // Then it is asked for an EK's, and refuses.
  tool({"nvundefine", "-Q", "-C", "p", "0x01C00002"});
  stop();
  start_vtpmd(refusing());
  boot();
  EXPECT_EQ(leaf(), first);
  EXPECT_EQ(vtpmd_->readiness("vm"), "ready");
}

// Who set up no certification misses none.
TEST_P(VtpmdRefusalTest, WithoutAPolicyThereAreNoCertificatesAndNothingIsWrong) {
  start_vtpmd({});
  create();
  EXPECT_EQ(vtpmd_->readiness("vm"), "ready");
  EXPECT_NE(run({"nvread", "-C", "o", kLeaf}).status, 0) << "it was never written";
}

INSTANTIATE_TEST_SUITE_P(Vms, VtpmdRefusalTest,
                         testing::Values(Kind{"Snp", "sev-snp", "simulated"}),
                         [](const testing::TestParamInfo<Kind>& kind) { return kind.param.name; });

}  // namespace
}  // namespace tests::integration
