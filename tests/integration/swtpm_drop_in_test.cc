// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <string>

#include "tests/integration/swtpm_program.h"

// What users of swtpm rely on, of swtpm itself and of ours in its place: each test runs both, so
// that where they differ shows.
namespace tests::integration {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

const std::string kStartup = "80010000000c000001440000";
const std::string kSuccess = "80010000000a00000000";
const std::string kFailure = "80010000000a00000101";
const std::string kReadPcr17 = "8001000000140000017e00000001000b03000002";
// The value of PCR 17 after a hash sequence over the digits 1234, at the end of the answer.
const std::string kPcr17 = "fca5d649bfb0c922fd330f79b20043289dafd60d01a4c4373cf28adb56c9b454";

class SwtpmBehaviourTest : public testing::TestWithParam<SwtpmPrograms> {
 protected:
  [[nodiscard]] SwtpmProgram start(const std::vector<std::string>& options = {}) const {
    return SwtpmProgram(GetParam(), folder_.path(), options);
  }

  [[nodiscard]] std::string file(const std::string& name, const std::string& content) const {
    std::ofstream(folder_ / name, std::ios::binary) << content;
    return (folder_ / name).string();
  }

  // A TPM that has measured something into PCR 17.
  void measure(const SwtpmProgram& tpm) const {
    tpm.succeeds({"-i"});
    EXPECT_EQ(tpm.command(kStartup), kSuccess);
    tpm.succeeds({"-h", "1234"});
    expect_measured(tpm);
  }

  static void expect_measured(const SwtpmProgram& tpm) {
    EXPECT_THAT(tpm.command(kReadPcr17), testing::EndsWith(kPcr17));
  }

  support::TempFolder folder_;
};

TEST_P(SwtpmBehaviourTest, StartsAgainAtEachInitAndEndsWhenToldTo) {
  auto tpm = start();
  tpm.succeeds({"-i"});
  EXPECT_EQ(tpm.command(kStartup), kSuccess);
  tpm.succeeds({"-i"});
  EXPECT_EQ(tpm.command(kStartup), kSuccess) << "it was a reset";

  EXPECT_EQ(tpm.shut_down(), 0);

  const auto states = support::run_command({GetParam().swtpm, "socket", "--print-states", "--tpm2",
                                            "--tpmstate", "dir=" + folder_.path().string()});
  EXPECT_EQ(states.status, 0);
  EXPECT_THAT(states.out, StartsWith(R"({ "type": "swtpm", "states": [ {"name": "permall", )"));
}

TEST_P(SwtpmBehaviourTest, SaysWhatCannotBeDoneBeforeAnInit) {
  auto tpm = start();
  tpm.succeeds({"--stop"});

  const auto established = tpm.ioctl({"-e"});

  EXPECT_NE(established.status, 0);
  EXPECT_THAT(established.err, HasSubstr("TPM result from PTM_GET_TPMESTABLISHED: 0xa"));
  EXPECT_EQ(tpm.command(kReadPcr17), kFailure);
  tpm.succeeds({"-i"});
  EXPECT_EQ(tpm.shut_down(), 0);
}

TEST_P(SwtpmBehaviourTest, TakesLocalitiesAsItIsTold) {
  {
    auto tpm = start();
    for (const char* locality : {"0", "1", "2", "3", "4"}) {
      tpm.succeeds({"-l", locality});
    }
    EXPECT_EQ(tpm.shut_down(), 0);
  }
  auto tpm = start({"--locality", "reject-locality-4"});
  const auto refused = tpm.ioctl({"-l", "4"});

  EXPECT_NE(refused.status, 0);
  EXPECT_THAT(refused.err, HasSubstr("0x3d"));
  tpm.succeeds({"-l", "3"});
}

TEST_P(SwtpmBehaviourTest, HashesAndRemembersThatItDid) {
  auto tpm = start();
  measure(tpm);

  EXPECT_THAT(tpm.ioctl({"-e"}).out, HasSubstr("tpmEstablished is 1"));
  EXPECT_NE(tpm.ioctl({"-r", "2"}).status, 0);
  tpm.succeeds({"-r", "3"});
  EXPECT_THAT(tpm.ioctl({"-e"}).out, HasSubstr("tpmEstablished is 0"));
}

TEST_P(SwtpmBehaviourTest, GoesOnFromVolatileStateInTheNextProcessAndAfterAnInit) {
  {
    auto tpm = start();
    measure(tpm);
    tpm.succeeds({"-v"});
    EXPECT_EQ(tpm.shut_down(), 0);
  }
  auto tpm = start();
  tpm.succeeds({"-i"});
  expect_measured(tpm);
  EXPECT_THAT(tpm.ioctl({"-e"}).out, HasSubstr("tpmEstablished is 1"));

  tpm.succeeds({"-v"});
  tpm.succeeds({"-i"});
  expect_measured(tpm);

  // It is used up.
  tpm.succeeds({"-i"});
  EXPECT_EQ(tpm.command(kStartup), kSuccess);
}

TEST_P(SwtpmBehaviourTest, NamesItsBufferSizes) {
  auto tpm = start();

  const auto asked = tpm.ioctl({"-b", "0"});
  EXPECT_THAT(asked.out, HasSubstr("minimum size  : 2808"));
  EXPECT_THAT(asked.out, HasSubstr("maximum size  : 4096"));
  EXPECT_THAT(tpm.ioctl({"-b", "3000"}).out, HasSubstr("TPM buffersize: 3000"));
  EXPECT_THAT(tpm.ioctl({"-b", "1"}).out, HasSubstr("TPM buffersize: 2808"));
  tpm.succeeds({"-i"});
  const auto running = tpm.ioctl({"-b", "3000"});
  EXPECT_THAT(running.err, HasSubstr("0xa"));
}

// Of either kind, for they hold the same lock.
TEST_P(SwtpmBehaviourTest, LetsNoSecondProcessHaveTheState) {
  auto tpm = start();
  tpm.succeeds({"-i"});
  for (const auto& programs : {theirs(), ours()}) {
    support::TempFolder other;
    auto second = *support::Process::start(
        {programs.swtpm, "socket", "--tpm2", "--tpmstate", "dir=" + folder_.path().string(),
         "--ctrl", "type=unixio,path=" + (other / "ctrl").string()},
        {.output = other / "log"});
    ASSERT_TRUE(support::wait_for_socket(other / "ctrl", second, std::chrono::seconds(20)));
    const auto init =
        support::run_command({"/usr/bin/swtpm_ioctl", "--unix", (other / "ctrl").string(), "-i"});

    EXPECT_NE(init.status, 0) << programs.name;
  }
  EXPECT_EQ(tpm.command(kStartup), kSuccess) << "the first is not disturbed";
}

TEST_P(SwtpmBehaviourTest, TakesCommandsInPiecesAndAnswersInOne) {
  auto tpm = start({"--flags", "not-need-init,startup-clear"});
  auto control = support::SocketClient::connect(folder_ / "tpm.ctrl");
  for (const char* piece : {"00", "0000", "02", "0000", "0000"}) {
    control.send_hex(piece);
  }
  EXPECT_EQ(base::to_hex(control.receive(4)), "00000000");

  EXPECT_EQ(tpm.command(kStartup), kSuccess);
}

TEST_P(SwtpmBehaviourTest, IsOnAtTheStartAndEndsWithTheDataChannel) {
  auto tpm = start({"--flags", "startup-clear", "--terminate"});

  EXPECT_THAT(tpm.command(kReadPcr17), StartsWith("80010000003e00000000"));

  EXPECT_EQ(tpm.wait(), 0) << tpm.log();
}

TEST_P(SwtpmBehaviourTest, KeepsItsStateUnderAKey) {
  const std::string digits = "1234567890abcdef1234567890abcdef";
  std::string bytes;
  for (std::size_t i = 0; i < digits.size(); i += 2) {
    bytes += static_cast<char>(std::stoi(digits.substr(i, 2), nullptr, 16));
  }
  {
    auto tpm = start({"--key", "file=" + file("key", digits + "\n") + ",mode=aes-cbc,remove"});
    measure(tpm);
    EXPECT_FALSE(std::filesystem::exists(folder_ / "key"));
    EXPECT_THAT(tpm.ioctl({"-g"}).out, HasSubstr("0x1"));
    tpm.succeeds({"-v"});
    EXPECT_EQ(tpm.shut_down(), 0);
  }
  {
    auto tpm = start({"--key", "pwdfile=" + file("password", "wrong")});
    EXPECT_THAT(tpm.ioctl({"-i"}).err, HasSubstr("TPM result from PTM_INIT: 0x101"));
    tpm.process().kill();
  }
  {
    auto tpm = start();
    EXPECT_NE(tpm.ioctl({"-i"}).status, 0);
    tpm.process().kill();
  }
  auto tpm = start({"--key", "file=" + file("key", bytes) + ",format=binary,remove=false"});
  tpm.succeeds({"-i"});
  expect_measured(tpm);
}

TEST_P(SwtpmBehaviourTest, WritesItsProcessIdAndGoesToTheBackground) {
  const auto ctrl = (folder_ / "ctrl").string();
  const auto started = support::run_command(
      {GetParam().swtpm, "socket", "--tpm2", "--tpmstate", "dir=" + folder_.path().string(),
       "--ctrl", "type=unixio,path=" + ctrl + ",mode=0600", "--daemon", "--pid",
       "file=" + (folder_ / "pid").string(), "--log",
       "file=" + (folder_ / "log").string() + ",level=1,prefix=x"});
  ASSERT_EQ(started.status, 0) << started.err;
  pid_t pid = 0;
  std::ifstream(folder_ / "pid") >> pid;
  ASSERT_GT(pid, 1);

  EXPECT_EQ(::kill(pid, 0), 0);
  EXPECT_EQ(static_cast<unsigned>(std::filesystem::status(ctrl).permissions()), 0600U);
  EXPECT_EQ(support::run_command({"/usr/bin/swtpm_ioctl", "--unix", ctrl, "-i"}).status, 0);
  EXPECT_EQ(support::run_command({"/usr/bin/swtpm_ioctl", "--unix", ctrl, "-s"}).status, 0);
}

TEST_P(SwtpmBehaviourTest, TakesChannelsThatWerePassed) {
  int control[2];
  int data[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, control), 0);
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, data), 0);
  auto process = *support::Process::start(
      {GetParam().swtpm, "socket", "--tpm2", "--tpmstate", "dir=" + folder_.path().string(), "--fd",
       std::to_string(data[1]), "--ctrl", "type=unixio,clientfd=" + std::to_string(control[1])},
      {.output = folder_ / "log", .passed = {control[1], data[1]}});
  ::close(control[1]);
  ::close(data[1]);
  support::SocketClient hypervisor{base::Descriptor(control[0])};
  support::SocketClient guest{base::Descriptor(data[0])};

  EXPECT_EQ(hypervisor.exchange("0000000200000000", 4), "00000000");
  EXPECT_EQ(guest.exchange(kStartup, 10), kSuccess);
  guest.close();

  EXPECT_EQ(process.wait(std::chrono::seconds(20)), 0);
}

TEST_P(SwtpmBehaviourTest, RefusesWhatItDoesNotKnow) {
  for (const std::vector<std::string>& options : {std::vector<std::string>{"--nonsense"},
                                                  {"--ctrl", "type=carrier-pigeon"},
                                                  {"--key", "mode=aes-cbc"},
                                                  {"--flags", "startup-whenever"},
                                                  {"--tpmstate", "mode=0600"},
                                                  {"--pid", "fd=x"},
                                                  {"something"}}) {
    std::vector<std::string> argv = {GetParam().swtpm,
                                     "socket",
                                     "--tpm2",
                                     "--tpmstate",
                                     "dir=" + folder_.path().string(),
                                     "--ctrl",
                                     "type=unixio,path=" + (folder_ / "ctrl").string()};
    argv.insert(argv.end(), options.begin(), options.end());

    EXPECT_EQ(support::run_command(argv).status, 1) << options.front();
  }
}

TEST_P(SwtpmBehaviourTest, TellsProgramsWhatItCan) {
  const auto swtpm = support::run_command({GetParam().swtpm, "socket", "--print-capabilities"});
  const auto setup = support::run_command({GetParam().setup, "--print-capabilities"});

  EXPECT_EQ(swtpm.status, 0);
  EXPECT_EQ(setup.status, 0);
  for (const char* feature :
       {"tpm-2.0", "tpm-send-command-header", "flags-opt-startup", "cmdarg-key-fd", "cmdarg-pwd-fd",
        "cmdarg-print-states", "nvram-backend-dir", "nvram-backend-file"}) {
    EXPECT_THAT(swtpm.out, HasSubstr("\"" + std::string(feature) + "\""));
  }
  for (const char* feature :
       {"tpm-2.0", "cmdarg-keyfile-fd", "cmdarg-pwdfile-fd", "tpm12-not-need-root",
        "cmdarg-create-config-files", "cmdarg-reconfigure-pcr-banks", "tpm2-rsa-keysize-3072"}) {
    EXPECT_THAT(setup.out, HasSubstr("\"" + std::string(feature) + "\""));
  }
}

INSTANTIATE_TEST_SUITE_P(, SwtpmBehaviourTest, testing::Values(theirs(), ours()),
                         [](const auto& tested) { return tested.param.name; });

// From whom state comes, and who takes it.
struct Road {
  std::string name;
  SwtpmPrograms from;
  SwtpmPrograms to;
};

class SwtpmStateRoadTest : public testing::TestWithParam<Road> {
 protected:
  static constexpr const char* kStates[] = {"permanent", "volatile"};

  [[nodiscard]] std::string key(const std::string& name, const std::string& passphrase) const {
    std::ofstream(blobs_ / name) << passphrase;
    return "pwdfile=" + (blobs_ / name).string() + ",mode=aes-256-cbc";
  }

  void save(const std::vector<std::string>& options) const {
    SwtpmProgram tpm(GetParam().from, source_.path(), options);
    tpm.succeeds({"-i"});
    EXPECT_EQ(tpm.command(kStartup), kSuccess);
    tpm.succeeds({"-h", "1234"});
    for (const auto* state : kStates) {
      tpm.succeeds({"--save", state, (blobs_ / state).string()});
    }
    tpm.succeeds({"--save", "savestate", (blobs_ / "savestate").string()});
    EXPECT_THAT(tpm.command(kReadPcr17), testing::EndsWith(kPcr17)) << "the source goes on";
    tpm.shut_down();
  }

  [[nodiscard]] support::Ran load(const SwtpmProgram& tpm, const std::string& state) const {
    return tpm.ioctl({"--load", state, (blobs_ / state).string()});
  }

  void expect_arrives(const std::vector<std::string>& options) const {
    SwtpmProgram tpm(GetParam().to, destination_.path(), options);
    for (const auto* state : kStates) {
      EXPECT_EQ(load(tpm, state).status, 0) << tpm.log();
    }
    tpm.succeeds({"-i"});
    EXPECT_THAT(tpm.command(kReadPcr17), testing::EndsWith(kPcr17));
    tpm.shut_down();
  }

  support::TempFolder source_;
  support::TempFolder destination_;
  support::TempFolder blobs_;
};

TEST_P(SwtpmStateRoadTest, CarriesStateInTheClear) {
  save({});

  expect_arrives({});
}

TEST_P(SwtpmStateRoadTest, CarriesStateUnderAMigrationKey) {
  save({"--migration-key", key("key", "shared by both")});
  {
    SwtpmProgram none(GetParam().to, destination_.path());
    EXPECT_THAT(load(none, "permanent").err, HasSubstr("TPM result from PTM_SET_STATEBLOB: 0xd"));
    none.shut_down();
  }
  {
    SwtpmProgram other(GetParam().to, destination_.path(),
                       {"--migration-key", key("other", "another")});
    EXPECT_THAT(load(other, "permanent").err, HasSubstr("TPM result from PTM_SET_STATEBLOB: 0x21"));
    EXPECT_THAT(other.ioctl({"-g"}).out, HasSubstr("0x2"));
    other.shut_down();
  }

  expect_arrives({"--migration-key", key("key", "shared by both")});
}

TEST_P(SwtpmStateRoadTest, TakesStateInTheClearThoughItHasAMigrationKey) {
  save({});

  expect_arrives({"--migration-key", key("key", "not needed")});
}

INSTANTIATE_TEST_SUITE_P(, SwtpmStateRoadTest,
                         testing::Values(Road{"SwtpmToOurs", theirs(), ours()},
                                         Road{"OursToSwtpm", ours(), theirs()},
                                         Road{"OursToOurs", ours(), ours()}),
                         [](const auto& tested) { return tested.param.name; });

}  // namespace
}  // namespace tests::integration
