// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "tests/integration/instance.h"
#include "tests/integration/swtpm_program.h"
#include "tests/support/hypervisor.h"
#include "tests/support/tpm_commands.h"

// TPMs as swtpm_setup makes them, by ours and by its own; and TPMs that move from swtpm to ours.
namespace tests::integration {
namespace {

using testing::HasSubstr;

std::string content_of(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

// tpm2() runs one of tpm2-tools on the TPM whose data channel is at FOLDER/tpm.
support::Ran tpm2(const std::filesystem::path& folder, std::vector<std::string> arguments) {
  ::setenv("TPM2TOOLS_TCTI", ("swtpm:path=" + (folder / "tpm").string()).c_str(), 1);
  arguments.front() = "/usr/bin/tpm2_" + arguments.front();
  return support::run_command(arguments);
}

class SwtpmSetupTest : public testing::Test {
 protected:
  static support::Ran set_up(const SwtpmPrograms& programs, const std::filesystem::path& folder,
                             const std::vector<std::string>& options) {
    std::vector<std::string> argv = {
        programs.setup, "--tpm2",          "--tpm-state", folder.string(),
        "--config",     config_of(folder), "--logfile",   (folder / "setup.log").string()};
    argv.insert(argv.end(), options.begin(), options.end());
    return support::run_command(argv);
  }

  // A certificate authority of swtpm_localca's in the folder itself.
  static std::string config_of(const std::filesystem::path& folder) {
    const auto path = [&](const char* name) { return (folder / name).string(); };
    std::ofstream(path("localca.options")) << "--platform-manufacturer Test\n"
                                              "--platform-version 1\n--platform-model Test\n";
    std::ofstream(path("localca.conf"))
        << "statedir = " << folder.string() << "\nsigningkey = " << path("signkey.pem")
        << "\nissuercert = " << path("issuercert.pem") << "\ncertserial = " << path("certserial")
        << "\n";
    std::ofstream(path("setup.conf"))
        << "create_certs_tool = /usr/bin/swtpm_localca\ncreate_certs_tool_config = "
        << path("localca.conf") << "\ncreate_certs_tool_options = " << path("localca.options")
        << "\n# active_pcr_banks = sha1\n";
    return path("setup.conf");
  }

  // What anybody sees of a TPM that swtpm_setup made, but for what is random.
  static std::string seen(const SwtpmPrograms& programs, const std::filesystem::path& folder) {
    SwtpmProgram tpm(programs, folder, {"--flags", "not-need-init,startup-clear"});
    std::string text;
    for (const char* what : {"handles-persistent", "handles-nv-index", "pcrs"}) {
      text += tpm2(folder, {"getcap", what}).out;
    }
    for (const char* index : {"0x1c00002", "0x1c00016", "0x1c08000"}) {
      const auto shown = tpm2(folder, {"nvreadpublic", index}).out;
      text +=
          shown.substr(shown.find("attributes:"), shown.find("size:") - shown.find("attributes:"));
      EXPECT_EQ(tpm2(folder, {"nvread", "-o", (folder / "certificate").string(), index}).status, 0);
      text += support::run_command({"/usr/bin/openssl", "x509", "-inform", "DER", "-in",
                                    (folder / "certificate").string(), "-noout", "-ext",
                                    "basicConstraints,extendedKeyUsage"})
                  .out;
    }
    tpm.shut_down();
    return text;
  }

  support::TempFolder ours_;
  support::TempFolder theirs_;
};

const std::vector<std::string> kAsLibvirt = {
    "--vmid",       "web1:7d1b",      "--createek", "--create-ek-cert", "--create-platform-cert",
    "--lock-nvram", "--not-overwrite"};

TEST_F(SwtpmSetupTest, MakesATpmThatLooksAsSwtpmsDoes) {
  ASSERT_EQ(set_up(ours(), ours_.path(), kAsLibvirt).status, 0) << content_of(ours_ / "setup.log");
  ASSERT_EQ(set_up(theirs(), theirs_.path(), kAsLibvirt).status, 0);

  const auto expected = seen(theirs(), theirs_.path());

  EXPECT_THAT(expected, HasSubstr("0x81010001"));
  EXPECT_EQ(seen(ours(), ours_.path()), expected);
  EXPECT_THAT(content_of(ours_ / "setup.log"), HasSubstr("Successfully authored TPM state."));
}

// What an EK is for, and its template where that is not the profile's.
TEST_F(SwtpmSetupTest, MakesEndorsementKeysThatSignForThoseWhoAsk) {
  for (const std::vector<std::string>& options :
       {std::vector<std::string>{"--createek", "--allow-signing"},
        std::vector<std::string>{"--createek", "--allow-signing", "--decryption", "--rsa-keysize",
                                 "3072"}}) {
    std::vector<std::string> seen;
    for (const auto& [programs, folder] : {std::pair(ours(), ours_.path() / options.back()),
                                           std::pair(theirs(), theirs_.path() / options.back())}) {
      std::filesystem::create_directories(folder);
      ASSERT_EQ(set_up(programs, folder, options).status, 0) << content_of(folder / "setup.log");
      SwtpmProgram tpm(programs, folder, {"--flags", "not-need-init,startup-clear"});
      const bool is_3072 = options.back() == "3072";
      auto text = tpm2(folder, {"getcap", "handles-nv-index"}).out;
      for (const char* index : {is_3072 ? "0x1c0001d" : "0x1c00004", "0x1c00017"}) {
        tpm2(folder, {"nvread", "-o", (folder / "template").string(), index});
        text += base::to_hex(base::bytes_of(content_of(folder / "template")));
      }
      for (const char* key : {is_3072 ? "0x8101001c" : "0x81010001", "0x81010016"}) {
        const auto shown = tpm2(folder, {"readpublic", "-c", key}).out;
        const auto begin = shown.find("attributes:");
        text += shown.substr(begin, shown.find("type:") - begin);
      }
      tpm.shut_down();
      seen.push_back(text);
    }
    EXPECT_THAT(seen.front(), HasSubstr("sign"));
    EXPECT_EQ(seen.front(), seen.back());
  }
}

TEST_F(SwtpmSetupTest, LeavesWhatIsThereUnlessItIsToldTo) {
  ASSERT_EQ(set_up(ours(), ours_.path(), {}).status, 0) << content_of(ours_ / "setup.log");
  const auto state = content_of(ours_ / "tpm2-00.permall");

  EXPECT_EQ(set_up(ours(), ours_.path(), kAsLibvirt).status, 0) << "--not-overwrite";
  EXPECT_EQ(set_up(ours(), ours_.path(), {"--createek"}).status, 1);
  EXPECT_EQ(content_of(ours_ / "tpm2-00.permall"), state);
  EXPECT_EQ(set_up(ours(), ours_.path(), {"--overwrite"}).status, 0);
  EXPECT_NE(content_of(ours_ / "tpm2-00.permall"), state);
}

TEST_F(SwtpmSetupTest, ChangesThePcrBanksOfATpmThatIsThere) {
  std::ofstream(ours_ / "password") << "correct horse";
  const std::vector<std::string> key = {"--pwdfile", (ours_ / "password").string(), "--cipher",
                                        "aes-256-cbc"};
  const auto with_key = [&](std::vector<std::string> options) {
    options.insert(options.end(), key.begin(), key.end());
    return set_up(ours(), ours_.path(), options).status;
  };
  ASSERT_EQ(with_key({"--createek"}), 0) << content_of(ours_ / "setup.log");

  EXPECT_EQ(with_key({"--reconfigure", "--pcr-banks", "sha1,sha384"}), 0);
  EXPECT_EQ(set_up(ours(), ours_.path(), {"--reconfigure", "--pcr-banks", "sha1"}).status, 1)
      << "without the key";

  SwtpmProgram tpm(ours(), ours_.path(),
                   {"--flags", "not-need-init,startup-clear", "--key",
                    "pwdfile=" + key[1] + ",mode=aes-256-cbc"});
  const auto banks = tpm2(ours_.path(), {"getcap", "pcrs"}).out;
  EXPECT_THAT(banks, HasSubstr("sha256: [ ]"));
  EXPECT_THAT(banks, HasSubstr("sha384: [ 0, 1"));
  EXPECT_THAT(tpm2(ours_.path(), {"getcap", "handles-persistent"}).out, HasSubstr("0x81010001"));
}

// A secret that a guest sealed to its TPM under swtpm, in `folder`.
class AdoptTest : public SwtpmSetupTest {
 protected:
  static std::string path(const std::filesystem::path& folder, const char* name) {
    return (folder / name).string();
  }

  static void seal(const std::filesystem::path& folder, const std::vector<std::string>& options) {
    SwtpmProgram tpm(theirs(), folder, with_startup(options));
    std::ofstream(folder / "secret") << "what the guest sealed";
    EXPECT_EQ(
        tpm2(folder, {"createprimary", "-Q", "-C", "o", "-c", path(folder, "primary")}).status, 0);
    EXPECT_EQ(
        tpm2(folder, {"create", "-Q", "-C", path(folder, "primary"), "-i", path(folder, "secret"),
                      "-u", path(folder, "pub"), "-r", path(folder, "priv")})
            .status,
        0);
    EXPECT_EQ(tpm2(folder, {"flushcontext", "-Q", "-t"}).status, 0);
    tpm.shut_down();
  }

  static std::string unsealed(const SwtpmPrograms& programs, const std::filesystem::path& folder,
                              const std::vector<std::string>& options) {
    SwtpmProgram tpm(programs, folder, with_startup(options));
    // What a tool leaves in one of the TPM's three places for objects would keep the next one out.
    tpm2(folder, {"createprimary", "-Q", "-C", "o", "-c", path(folder, "primary")});
    tpm2(folder, {"flushcontext", "-Q", "-t"});
    tpm2(folder, {"load", "-Q", "-C", path(folder, "primary"), "-u", path(folder, "pub"), "-r",
                  path(folder, "priv"), "-c", path(folder, "object")});
    tpm2(folder, {"flushcontext", "-Q", "-t"});
    const auto ran = tpm2(folder, {"unseal", "-c", path(folder, "object")});
    tpm2(folder, {"flushcontext", "-Q", "-t"});
    tpm.shut_down();
    return ran.out;
  }

  static std::vector<std::string> with_startup(std::vector<std::string> options) {
    options.insert(options.end(), {"--flags", "not-need-init,startup-clear"});
    return options;
  }

  static support::Ran adopt(const std::vector<std::string>& options,
                            const std::filesystem::path& folder) {
    std::vector<std::string> argv = {VTPMCTL, "adopt", folder.string()};
    argv.insert(argv.end(), options.begin(), options.end());
    return support::run_command(argv);
  }

  support::TempFolder folder_;
};

TEST_F(AdoptTest, UnsealsWhatWasSealedUnderSwtpm) {
  seal(folder_.path(), {});

  const auto dry = adopt({"--dry-run"}, folder_.path());
  EXPECT_EQ(dry.status, 0) << dry.err;
  EXPECT_THAT(dry.out, HasSubstr("adoptable "));
  const auto done = adopt({}, folder_.path());
  EXPECT_EQ(done.status, 0) << done.err;
  EXPECT_THAT(done.out, HasSubstr("adopted "));
  EXPECT_THAT(adopt({}, folder_.path()).out, HasSubstr("ours-already "));

  EXPECT_EQ(unsealed(ours(), folder_.path(), {}), "what the guest sealed");
  const auto undo = adopt({"--undo"}, folder_.path());
  EXPECT_EQ(undo.status, 5) << undo.out;
  EXPECT_THAT(undo.out, HasSubstr("has been used since"));
}

TEST_F(AdoptTest, IsUndoneBeforeTheGuestHasRun) {
  seal(folder_.path(), {});
  ASSERT_EQ(adopt({}, folder_.path()).status, 0);

  ASSERT_EQ(adopt({"--undo"}, folder_.path()).status, 0);

  EXPECT_EQ(unsealed(theirs(), folder_.path(), {}), "what the guest sealed");
}

TEST_F(AdoptTest, TakesEncryptedTpmsByTheirKey) {
  std::ofstream(folder_ / "password") << "correct horse";
  const auto key = "pwdfile=" + path(folder_.path(), "password") + ",mode=aes-256-cbc";
  seal(folder_.path(), {"--key", key});

  const auto none = adopt({}, folder_.path());
  EXPECT_EQ(none.status, 6) << none.out;
  ASSERT_EQ(adopt({"--key", key}, folder_.path()).status, 0);

  EXPECT_EQ(unsealed(ours(), folder_.path(), {"--key", key}), "what the guest sealed");
}

TEST_F(AdoptTest, TakesAllBelowAFolderAndNamesThoseItCannot) {
  for (const char* name : {"a/tpm2", "b/tpm2", "c"}) {
    std::filesystem::create_directories(folder_ / name);
    seal(folder_ / name, {});
  }
  std::ofstream(folder_ / "c/tpm2-00.permall", std::ios::in | std::ios::out | std::ios::binary)
      .seekp(20)
      .write("\xff\xff\xff\xff", 4);
  SwtpmProgram busy(theirs(), folder_ / "b/tpm2", {"--flags", "not-need-init"});

  const auto first = adopt({"--json"}, folder_.path());
  busy.shut_down();
  const auto second = adopt({"--json"}, folder_.path());

  EXPECT_NE(first.status, 0);
  EXPECT_THAT(first.out, HasSubstr(R"(a/tpm2","outcome":"adopted")"));
  EXPECT_THAT(first.out, HasSubstr(R"(b/tpm2","outcome":"failed")"));
  EXPECT_THAT(first.out, HasSubstr(R"(c","outcome":"failed")"));
  EXPECT_THAT(second.out, HasSubstr(R"(a/tpm2","outcome":"ours-already")"));
  EXPECT_THAT(second.out, HasSubstr(R"(b/tpm2","outcome":"adopted")"));
  EXPECT_EQ(unsealed(ours(), folder_ / "b/tpm2", {}), "what the guest sealed");
}

// By this, no authority certifies its AK as that of a confidential VM (authority_test).
TEST_F(AdoptTest, LeavesItToTheTpmsClaimsThatAnotherProgramHasMadeIt) {
  constexpr std::uint32_t kReport = 0x01400001;
  constexpr std::uint32_t kExtendedClaims = 0x01400003;
  seal(folder_.path(), {});
  ASSERT_EQ(adopt({}, folder_.path()).status, 0);
  const auto store = path(folder_.path(), "tpm2-00.permall");

  Instance instance(folder_.path(), {"--vmgs", store, "--protection", "none"});
  auto hypervisor = support::Hypervisor::attach(instance.control());
  ASSERT_TRUE(hypervisor) << hypervisor.error().message << instance.log();
  for (const auto& command : {support::startup_clear(), support::nv_read_by_owner(kReport, 4, 0)}) {
    ASSERT_TRUE(hypervisor->command(command));
  }
  const auto read = hypervisor->command(support::nv_read_by_owner(kExtendedClaims, 1024, 0));
  ASSERT_TRUE(read) << read.error().message;
  const auto claims = support::nv_data(*read);

  EXPECT_THAT(std::string(reinterpret_cast<const char*>(claims.data()), claims.size()),
              HasSubstr(R"("origin":"imported")"));
  EXPECT_EQ(instance.stop(), 0);
  EXPECT_THAT(support::run_command({VMGS_TOOL, "show", store, "TPM_NVRAM", "--json"}).out,
              HasSubstr(R"("made_by_another_program":true)"));
}

// The store is under a key that is made of swtpm's.
TEST_F(SwtpmSetupTest, KeepsATpmThatTheOfflineToolOpensByTheSameKey) {
  for (const char* passphrase : {"correct horse", "battery staple"}) {
    std::ofstream(ours_ / passphrase) << passphrase;
  }
  const auto right = (ours_ / "correct horse").string();
  ASSERT_EQ(set_up(ours(), ours_.path(), {"--pwdfile", right, "--cipher", "aes-256-cbc"}).status, 0)
      << content_of(ours_ / "setup.log");
  const auto store = (ours_ / "tpm2-00.permall").string();
  const auto check = [&](const std::string& passphrase) {
    return support::run_command(
        {VMGS_TOOL, "check", store, "--key", "swtpm:pwdfile=" + passphrase + ",mode=aes-256-cbc"});
  };

  EXPECT_THAT(support::run_command({VMGS_TOOL, "explain", store}).out,
              HasSubstr("--key swtpm:pwdfile="));
  EXPECT_EQ(check(right).status, 0) << check(right).err;
  EXPECT_NE(check((ours_ / "battery staple").string()).status, 0);
  EXPECT_NE(check((ours_ / "nothing").string()).status, 0);
}

TEST_F(AdoptTest, NeedNotComeFirst) {
  seal(folder_.path(), {});

  EXPECT_EQ(unsealed(ours(), folder_.path(), {}), "what the guest sealed");
}

// Whoever goes back to swtpm by mistake must not find a new TPM, whose guest would lose all it has
// sealed.
TEST_F(AdoptTest, DoesNotLookLikeNoTpmToSwtpm) {
  seal(folder_.path(), {});
  ASSERT_EQ(adopt({}, folder_.path()).status, 0);
  const auto store = content_of(folder_ / "tpm2-00.permall");

  SwtpmProgram tpm(theirs(), folder_.path());
  EXPECT_NE(tpm.ioctl({"-i"}).status, 0);
  tpm.process().kill();

  EXPECT_EQ(content_of(folder_ / "tpm2-00.permall"), store);
}

}  // namespace
}  // namespace tests::integration
