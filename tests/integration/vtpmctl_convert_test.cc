// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <stdlib.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <vector>

#include "keybroker/protocol/launch_document.h"
#include "tests/integration/vtpmd.h"
#include "tests/support/temp_folder.h"

namespace tests::integration {
namespace {

namespace protocol = keybroker::protocol;
using testing::HasSubstr;

// An operator who moves VMs between machines of SEV-SNP and TDX.
class VtpmctlConvertTest : public testing::Test {
 protected:
  void create_brokered() const {
    const auto ran =
        vtpmd_.ctl({"create", "a", "--tee", "sev-snp", "--protection", "broker", "--tenant",
                    "11111111-2222-4333-8444-555555555555", "--broker-root", std::string(64, 'a')});
    ASSERT_EQ(ran.status, 0) << ran.err;
  }

  [[nodiscard]] protocol::LaunchDocument document(const std::string& file) const {
    std::ifstream stream(folder_ / file, std::ios::binary);
    const std::string content(std::istreambuf_iterator<char>(stream), {});
    const auto decoded = protocol::decode_launch_document(base::bytes_of(content));
    EXPECT_TRUE(decoded) << decoded.error().message;
    return decoded.value_or(protocol::LaunchDocument{});
  }

  support::TempFolder folder_;
  Vtpmd vtpmd_{folder_.path(), VTPM_INSTANCE_SIM};
};

TEST_F(VtpmctlConvertTest, SaysWhatAConversionWouldDoAndDoesNothing) {
  create_brokered();
  const auto digest = vtpmd_.text("a", "launch_digest");

  const auto ran = vtpmd_.ctl(
      {"convert", "a", "--to", "tdx", "--dry-run", "--launch-document-out", folder_ / "a.launch"});

  ASSERT_EQ(ran.status, 0) << ran.err;
  EXPECT_THAT(ran.out, HasSubstr("tee: sev-snp -> tdx"));
  EXPECT_THAT(ran.out, HasSubstr("6.7 or later"));
  EXPECT_THAT(ran.out, HasSubstr("kbctl vm convert"));
  EXPECT_THAT(ran.err, HasSubstr("nothing was changed"));
  EXPECT_EQ(document("a.launch").tee_family, protocol::TeeFamily::kTdx);
  EXPECT_EQ(vtpmd_.text("a", "launch_digest"), digest);
}

TEST_F(VtpmctlConvertTest, ConvertsAndGoesBackOverTheDeathOfVtpmd) {
  create_brokered();
  const auto digest = vtpmd_.text("a", "launch_digest");
  ASSERT_EQ(vtpmd_.ctl({"convert", "a", "--to", "tdx"}).status, 0);

  vtpmd_.kill();
  vtpmd_.start();
  EXPECT_EQ(vtpmd_.text("a", "tee"), "tdx");
  EXPECT_NE(vtpmd_.text("a", "launch_digest"), digest);
  EXPECT_THAT(vtpmd_.ctl({"show", "a"}).out, HasSubstr("vtpmctl convert a --undo"));
  const auto again = vtpmd_.ctl({"convert", "a", "--to", "tdx"});
  EXPECT_EQ(again.status, 0);
  EXPECT_THAT(again.err, HasSubstr("nothing changes"));

  const auto undone = vtpmd_.ctl({"convert", "a", "--undo"});
  ASSERT_EQ(undone.status, 0) << undone.err;
  vtpmd_.kill();
  vtpmd_.start();
  EXPECT_EQ(vtpmd_.text("a", "launch_digest"), digest);
  EXPECT_NE(vtpmd_.ctl({"convert", "a", "--undo"}).status, 0);
}

TEST_F(VtpmctlConvertTest, TakesAFinishedDocument) {
  create_brokered();
  ASSERT_EQ(vtpmd_
                .ctl({"convert", "a", "--offline", "allow", "--dry-run", "--launch-document-out",
                      folder_ / "a.launch"})
                .status,
            0);
  const auto ran = vtpmd_.ctl({"convert", "a", "--launch-document", folder_ / "a.launch"});
  ASSERT_EQ(ran.status, 0) << ran.err;
  EXPECT_EQ(vtpmd_.text("a", "offline_rule"), "allow");
}

TEST_F(VtpmctlConvertTest, AnOrdinaryVmStaysOneAndKeepsItsTpm) {
  ASSERT_EQ(vtpmd_.ctl({"create", "o"}).status, 0);
  const auto running = vtpmd_.ctl({"convert", "o", "--to", "tdx"});
  EXPECT_NE(running.status, 0);
  ASSERT_EQ(vtpmd_.ctl({"stop", "o"}).status, 0);
  const auto ran = vtpmd_.ctl({"convert", "o", "--to", "sev-snp"});
  EXPECT_NE(ran.status, 0);
  EXPECT_THAT(ran.err, HasSubstr("never becomes a confidential one"));
  EXPECT_EQ(vtpmd_.text("o", "tee"), "none");
  ASSERT_EQ(vtpmd_.ctl({"start", "o"}).status, 0);
  EXPECT_EQ(vtpmd_.ctl({"ready", "o", "--wait"}).status, 0);
}

// An ordinary VM, with the tools that people use in its guest.
class VtpmctlProtectionTest : public VtpmctlConvertTest {
 protected:
  VtpmctlProtectionTest() { (void)vtpmd_.create("o"); }

  ~VtpmctlProtectionTest() override { ::unsetenv("TPM2TOOLS_TCTI"); }

  void boot() const {
    ::setenv("TPM2TOOLS_TCTI", ("swtpm:path=" + vtpmd_.text("o", "data_socket")).c_str(), 1);
    ASSERT_EQ(vtpmd_.ctl({"start", "o"}).status, 0);
    ASSERT_EQ(vtpmd_.ctl({"ready", "o", "--wait"}).status, 0) << vtpmd_.log();
    tool({"startup", "-c"});
    tool({"createprimary", "-Q", "-C", "o", "-c", folder_ / "srk.ctx"});
    flush();
  }

  void power_off() const {
    ASSERT_EQ(vtpmd_.ctl({"stop", "o", "--force"}).status, 0) << vtpmd_.log();
  }

  static std::string tool(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "/usr/bin/tpm2");
    const auto ran = support::run_command(arguments);
    EXPECT_EQ(ran.status, 0) << testing::PrintToString(arguments) << ran.err;
    return ran.out;
  }

  // There is no resource manager, and room for three objects.
  static void flush() { tool({"flushcontext", "-t"}); }

  void seal() const {
    std::ofstream(folder_ / "secret") << "what the guest keeps";
    tool({"create", "-Q", "-C", folder_ / "srk.ctx", "-i", folder_ / "secret", "-u",
          folder_ / "sealed.pub", "-r", folder_ / "sealed.priv"});
    flush();
  }

  std::string unsealed() const {
    tool({"load", "-Q", "-C", folder_ / "srk.ctx", "-u", folder_ / "sealed.pub", "-r",
          folder_ / "sealed.priv", "-c", folder_ / "sealed.ctx"});
    flush();
    auto content = tool({"unseal", "-c", folder_ / "sealed.ctx"});
    flush();
    return content;
  }

  // The name of its attestation key.
  std::string ak() const {
    tool({"readpublic", "-Q", "-c", "0x81000003", "-n", folder_ / "ak"});
    std::ifstream file(folder_ / "ak", std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(file), {});
  }

  [[nodiscard]] std::filesystem::path store() const { return vtpmd_.text("o", "store_path"); }

  // Every file of the VM but its lease, with its content.
  [[nodiscard]] std::map<std::string, std::string> files() const {
    std::map<std::string, std::string> all;
    for (const auto& entry : std::filesystem::directory_iterator(store().parent_path())) {
      if (entry.path().filename() != "lease") {
        std::ifstream file(entry.path(), std::ios::binary);
        all[entry.path().filename()] = {std::istreambuf_iterator<char>(file), {}};
      }
    }
    return all;
  }

  // convert() expects that exit status.
  support::Ran convert(std::vector<std::string> options, int status = 0) const {
    options.insert(options.begin(), {"convert", "o"});
    auto ran = vtpmd_.ctl(options);
    EXPECT_EQ(ran.status, status) << ran.out << ran.err << vtpmd_.log();
    return ran;
  }
};

TEST_F(VtpmctlProtectionTest, GoesFromHostToNoneAndBackAndUnsealsAfterEach) {
  boot();
  seal();
  const auto first_ak = ak();
  power_off();
  const auto before = files();

  const auto dry = vtpmd_.ctl_json({"convert", "o", "--to", "none", "--dry-run"});
  EXPECT_EQ(dry.at("schema"), "strongroom.conversion/1");
  EXPECT_EQ(dry.at("changes").as_array().at(0), "protection: host -> none");
  EXPECT_TRUE(dry.at("is_weaker").as_bool());
  EXPECT_TRUE(dry.at("dry_run").as_bool());
  EXPECT_THAT(boost::json::serialize(dry.at("notes")), HasSubstr("endorsement seed"));
  EXPECT_EQ(Vtpmd::text_in(dry, "vm.protection"), "host") << "as it is now";
  EXPECT_TRUE(files() == before) << "a dry run has changed a file";
  const auto refused = convert({"--to", "none"}, 5);
  EXPECT_THAT(refused.err, HasSubstr("--weaken"));
  EXPECT_TRUE(files() == before) << "a refusal has changed a file";

  EXPECT_THAT(convert({"--to", "none", "--weaken"}).out, HasSubstr("protection: host -> none"));
  EXPECT_EQ(vtpmd_.text("o", "protection"), "none");
  EXPECT_EQ(store().filename(), "vm-1.vmgs");
  auto both = files();
  EXPECT_EQ(both.at("vm.vmgs"), before.at("vm.vmgs"));
  EXPECT_EQ(both.at("vm.key"), before.at("vm.key"));
  EXPECT_THAT(vtpmd_.ctl({"show", "o"}).out, HasSubstr("vtpmctl convert o --undo"));
  boot();
  EXPECT_EQ(unsealed(), "what the guest keeps");
  const auto second_ak = ak();
  EXPECT_NE(second_ak, first_ak) << "its seed was under a stronger protection";
  EXPECT_THAT(vtpmd_.text("o", "opened_by"), HasSubstr("stronger protection"));
  EXPECT_EQ(files().count("vm.vmgs"), 0U);
  EXPECT_EQ(files().count("vm.key"), 0U);
  power_off();

  convert({"--to", "host"});
  boot();
  EXPECT_EQ(unsealed(), "what the guest keeps");
  EXPECT_EQ(ak(), second_ak) << "no other seed where the protection is stronger";
  power_off();
  auto last = files();
  EXPECT_EQ(last.count("vm-1.vmgs"), 0U) << "the plaintext has gone";
  EXPECT_EQ(last.size(), 2U);
  EXPECT_EQ(last.count("vm-2.key"), 1U);
}

TEST_F(VtpmctlProtectionTest, GoesBackOverTheDeathOfVtpmdWithWhatItHad) {
  boot();
  seal();
  const auto first_ak = ak();
  power_off();
  const auto before = files();
  convert({"--to", "none", "--weaken"});
  vtpmd_.kill();
  vtpmd_.start();
  EXPECT_EQ(vtpmd_.text("o", "protection"), "none");
  convert({"--undo"});
  EXPECT_TRUE(files() == before);
  boot();
  EXPECT_EQ(unsealed(), "what the guest keeps");
  EXPECT_EQ(ak(), first_ak);
  EXPECT_THAT(vtpmd_.ctl({"convert", "o", "--to", "none", "--weaken"}).err, HasSubstr("stop it"));
}

// vtpmd is killed somewhere in a conversion, again and again; each time the VM starts with all that
// it had, and the same command, run again, comes to its end.
TEST_F(VtpmctlProtectionTest, KilledAnywhereTheVmStartsAndARetryEndsTheJob) {
  boot();
  seal();
  power_off();
  std::string to = "none";
  for (unsigned round = 0; round < 8; ++round) {
    SCOPED_TRACE("round " + std::to_string(round));
    {
      const std::vector<std::string> line = {VTPMCTL, "convert",  "o",        "--to",
                                             to,      "--weaken", "--socket", vtpmd_.socket()};
      auto converting = *support::Process::start(line);
      // Killed sooner or later after the instance that copies has shown itself, by what it makes.
      (void)converting.wait(std::chrono::milliseconds(round * round * 12));
      vtpmd_.kill();
    }
    vtpmd_.start();
    vtpmd_.wait_for("o", "stopped");  // an instance may still be copying
    boot();
    EXPECT_EQ(unsealed(), "what the guest keeps");
    power_off();
    if (vtpmd_.text("o", "protection") != to) {
      convert({"--to", to, "--weaken"});
      boot();
      EXPECT_EQ(unsealed(), "what the guest keeps");
      power_off();
    }
    EXPECT_EQ(vtpmd_.text("o", "protection"), to);
    EXPECT_EQ(files().size(), to == "none" ? 1U : 2U) << "something is left of another attempt";
    to = to == "none" ? "host" : "none";
  }
}

TEST_F(VtpmctlProtectionTest, SaysWhatToDoInsteadOfWhatNeverChanges) {
  power_off();
  for (const auto* word : {"hardware", "broker", "tdx"}) {
    EXPECT_THAT(convert({"--to", word, "--weaken"}, 5).err, HasSubstr("new VM")) << word;
  }
  EXPECT_THAT(convert({"--to", "sgx"}, 2).err, HasSubstr("a TEE is"));
  create_brokered();
  for (const auto* word : {"none", "host"}) {
    const auto ran = vtpmd_.ctl({"convert", "a", "--to", word, "--weaken"});
    EXPECT_EQ(ran.status, 5) << word;
    EXPECT_THAT(ran.err, HasSubstr("Create a new VM")) << word;
  }
}

}  // namespace
}  // namespace tests::integration
