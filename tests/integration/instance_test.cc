// SPDX-License-Identifier: Apache-2.0
#include "tests/integration/instance.h"

#include <gmock/gmock.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <memory>
#include <thread>

#include "tests/support/hypervisor.h"
#include "tests/support/socket_client.h"
#include "tests/support/temp_folder.h"
#include "tests/support/tpm_commands.h"
#include "vmgs/base/cursor.h"

namespace tests::integration {
namespace {

using support::Control;
using support::Hypervisor;
using support::response_code;
using support::SocketClient;
using support::TempFolder;
namespace tpm = support;

constexpr std::uint32_t kIndex = 0x01500016;
constexpr std::array<std::byte, 32> kDigest = {std::byte{0x5a}};

base::Bytes data_of(std::uint8_t value) { return base::Bytes(64, std::byte{value}); }

class InstanceTest : public testing::Test {
 protected:
  [[nodiscard]] std::vector<std::string> stored() const {
    return {"--vmgs", folder_ / "vm.vmgs", "--create"};
  }

  // The same, and its state leaves as swtpm's does.
  [[nodiscard]] std::vector<std::string> stored_in_the_open() const {
    auto options = stored();
    options.insert(options.end(), {"--state-blobs", "plain"});
    return options;
  }

  static Hypervisor attach(const Instance& instance) {
    auto hypervisor = Hypervisor::attach(instance.control());
    EXPECT_TRUE(hypervisor) << hypervisor.error().message << instance.log();
    return *std::move(hypervisor);
  }

  // A hypervisor whose guest has started its TPM.
  static Hypervisor boot(const Instance& instance) {
    auto hypervisor = attach(instance);
    EXPECT_EQ(run(hypervisor, tpm::startup_clear()), tpm::kSuccess);
    return hypervisor;
  }

  static base::Bytes send(Hypervisor& hypervisor, const base::Bytes& command) {
    auto response = hypervisor.command(command);
    EXPECT_TRUE(response) << response.error().message;
    return response ? *response : base::Bytes(10);
  }

  static std::uint32_t run(Hypervisor& hypervisor, const base::Bytes& command) {
    return response_code(send(hypervisor, command));
  }

  static base::Bytes nv(Hypervisor& hypervisor) {
    return tpm::nv_data(send(hypervisor, tpm::nv_read(kIndex, 64)));
  }

  [[nodiscard]] std::string bytes_of(const std::string& name) const {
    std::ifstream file(folder_ / name, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(file), {});
  }

  TempFolder folder_;
};

using InstanceLifeTest = InstanceTest;
using InstanceControlTest = InstanceTest;
using InstanceStateTest = InstanceTest;
using InstanceAbuseTest = InstanceTest;

// Its life.

TEST_F(InstanceLifeTest, KeepsNvOverAKillAndOverAnOrderlyEnd) {
  {
    Instance instance(folder_.path(), stored());
    auto hypervisor = boot(instance);
    ASSERT_EQ(run(hypervisor, tpm::nv_define(kIndex, 64)), tpm::kSuccess);
    ASSERT_EQ(run(hypervisor, tpm::nv_write(kIndex, data_of(1))), tpm::kSuccess);
    instance.process().kill();
  }
  {
    Instance instance(folder_.path(), stored());
    auto hypervisor = boot(instance);
    EXPECT_EQ(nv(hypervisor), data_of(1));
    ASSERT_EQ(run(hypervisor, tpm::nv_write(kIndex, data_of(2))), tpm::kSuccess);
    EXPECT_EQ(instance.stop(), 0) << instance.log();
    EXPECT_FALSE(std::filesystem::exists(instance.control()));
  }
  Instance instance(folder_.path(), {"--vmgs", folder_ / "vm.vmgs"});
  auto hypervisor = boot(instance);
  EXPECT_EQ(nv(hypervisor), data_of(2));
}

TEST_F(InstanceLifeTest, EndsAfterItAnsweredAShutdown) {
  Instance instance(folder_.path(), stored());
  auto hypervisor = boot(instance);

  EXPECT_EQ(*hypervisor.result(Control::kShutdown), 0U);

  EXPECT_EQ(instance.wait(), 0) << instance.log();
}

TEST_F(InstanceLifeTest, ServesTheNextHypervisorWhenOneIsGone) {
  Instance instance(folder_.path(), stored());
  for (int i = 0; i < 3; ++i) {
    auto hypervisor = boot(instance);
    EXPECT_EQ(run(hypervisor, tpm::get_random(8)), tpm::kSuccess);
  }
}

TEST_F(InstanceLifeTest, AnEphemeralTpmSurvivesAResetAndNothingElse) {
  std::uint32_t code = 0;
  for (int start = 0; start < 2; ++start) {
    Instance instance(folder_.path(), {"--lifetime", "ephemeral"});
    auto hypervisor = boot(instance);
    code = run(hypervisor, tpm::nv_define(kIndex, 64));
    ASSERT_EQ(code, tpm::kSuccess);
    ASSERT_EQ(*hypervisor.init(), 0U);
    ASSERT_EQ(run(hypervisor, tpm::startup_clear()), tpm::kSuccess);
    EXPECT_NE(run(hypervisor, tpm::nv_define(kIndex, 64)), tpm::kSuccess) << "it is there";
    EXPECT_EQ(instance.stop(), 0);
  }
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder_.path())) {
    names.push_back(entry.path().filename());
  }
  EXPECT_THAT(names, testing::ElementsAre("log"));
}

TEST_F(InstanceLifeTest, HoldsItsStoreAlone) {
  Instance instance(folder_.path(), stored());
  auto second = support::Process::start(
      {VTPM_INSTANCE, "--vmgs", folder_ / "vm.vmgs", "--create", "--ctrl", folder_ / "other"});

  EXPECT_EQ(second->wait(std::chrono::seconds(20)), 8);
  EXPECT_FALSE(std::filesystem::exists(folder_ / "other"));
}

TEST_F(InstanceLifeTest, MakesFilesForItsOwnerAlone) {
  Instance instance(folder_.path(), stored());

  for (const char* name : {"vm.vmgs", "vm.vmgs.key", "ctrl"}) {
    struct stat found {};

    ASSERT_EQ(::stat((folder_ / name).c_str(), &found), 0) << name;
    EXPECT_EQ(found.st_mode & 0777, 0600U) << name;
  }
}

TEST_F(InstanceLifeTest, LeavesNoCoreAndGainsNothingByExec) {
  Instance instance(folder_.path(), stored());
  const std::filesystem::path proc = "/proc/" + std::to_string(instance.process().pid());
  const auto content = [&](const char* name) {
    std::ifstream file(proc / name);
    return std::string(std::istreambuf_iterator<char>(file), {});
  };

  EXPECT_THAT(content("limits"), testing::ContainsRegex("Max core file size +0 +0 "));
  EXPECT_THAT(content("status"), testing::HasSubstr("NoNewPrivs:\t1"));
  EXPECT_THAT(content("status"), testing::HasSubstr("CapPrm:\t0000000000000000"));

  struct stat found {};

  ASSERT_EQ(::stat((proc / "maps").c_str(), &found), 0);
  EXPECT_EQ(found.st_uid, 0U) << "what is not dumpable belongs to root";
}

TEST_F(InstanceLifeTest, RefusesADamagedStoreAndLeavesItAlone) {
  ASSERT_EQ(Instance(folder_.path(), stored()).stop(), 0);
  {
    std::fstream file(folder_ / "vm.vmgs", std::ios::in | std::ios::out | std::ios::binary);
    file.write("damage", 6);
    file.seekp(512);
    file.write("damage", 6);
  }
  const auto before = bytes_of("vm.vmgs");
  auto process = support::Process::start(
      {VTPM_INSTANCE, "--vmgs", folder_ / "vm.vmgs", "--create", "--ctrl", folder_ / "ctrl"});

  EXPECT_EQ(process->wait(std::chrono::seconds(20)), 6);
  EXPECT_EQ(bytes_of("vm.vmgs"), before);
}

TEST_F(InstanceLifeTest, RefusesAnotherKeyAndAMissingStore) {
  ASSERT_EQ(Instance(folder_.path(), stored()).stop(), 0);
  std::ofstream(folder_ / "other.key") << std::string(64, 'a');
  std::filesystem::permissions(folder_ / "other.key", std::filesystem::perms(0600));
  const auto status = [&](std::vector<std::string> options) {
    std::vector<std::string> argv = {VTPM_INSTANCE, "--ctrl", folder_ / "ctrl"};
    argv.insert(argv.end(), options.begin(), options.end());
    return support::Process::start(argv)->wait(std::chrono::seconds(20));
  };

  EXPECT_EQ(status({"--vmgs", folder_ / "vm.vmgs", "--key", folder_ / "other.key"}), 6);
  EXPECT_EQ(status({"--vmgs", folder_ / "none.vmgs"}), 4);
  EXPECT_EQ(status({"--vmgs", folder_ / "vm.vmgs", "--protection", "none"}), 5);
  EXPECT_EQ(status({"--lifetime", "ephemeral", "--vmgs", folder_ / "vm.vmgs"}), 2);
}

TEST_F(InstanceLifeTest, DoesNotPowerOnFromAStoreThatWasSwapped) {
  Instance instance(folder_.path(), stored());
  auto hypervisor = boot(instance);
  std::filesystem::rename(folder_ / "vm.vmgs", folder_ / "away");
  std::filesystem::copy_file(folder_ / "away", folder_ / "vm.vmgs");

  EXPECT_NE(*hypervisor.init(), 0U);
  EXPECT_EQ(run(hypervisor, tpm::get_random(8)), tpm::kFailure);
  EXPECT_EQ(instance.stop(), 5) << "nor is that an orderly end";
}

TEST_F(InstanceLifeTest, AcknowledgesNoWriteIntoAFileThatNobodyFindsAgain) {
  Instance instance(folder_.path(), stored());
  auto hypervisor = boot(instance);
  ASSERT_EQ(run(hypervisor, tpm::nv_define(kIndex, 64)), tpm::kSuccess);
  std::filesystem::copy_file(folder_ / "vm.vmgs", folder_ / "copy");
  std::filesystem::rename(folder_ / "copy", folder_ / "vm.vmgs");

  EXPECT_EQ(run(hypervisor, tpm::nv_write(kIndex, data_of(1))), tpm::kFailure);
  EXPECT_NE(*hypervisor.init(), 0U) << "nor does it go on with the other file";
}

TEST_F(InstanceLifeTest, AMissingKeyIsNeverReplaced) {
  ASSERT_EQ(Instance(folder_.path(), stored()).stop(), 0);
  std::filesystem::rename(folder_ / "vm.vmgs.key", folder_ / "saved");

  auto argv = stored();
  argv.insert(argv.begin(), {VTPM_INSTANCE, "--ctrl", folder_ / "ctrl"});
  auto process = support::Process::start(argv, {.output = folder_ / "log"});

  EXPECT_EQ(process->wait(std::chrono::seconds(20)), 6);
  EXPECT_THAT(bytes_of("log"), testing::AllOf(testing::HasSubstr("key-missing: "),
                                              testing::Not(testing::HasSubstr("delete"))));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "vm.vmgs.key"));
}

TEST_F(InstanceLifeTest, MakesNothingWhereItsSocketsOrItsStoreHaveNoPlace) {
  const auto nowhere = folder_ / "none" / "x";
  const auto log_of = [&](const std::filesystem::path& store, const std::filesystem::path& control,
                          const std::filesystem::path& data) {
    auto process = support::Process::start(
        {VTPM_INSTANCE, "--create", "--vmgs", store, "--ctrl", control, "--data", data},
        {.output = folder_ / "log"});
    EXPECT_GT(process->wait(std::chrono::seconds(20)), 0);
    return bytes_of("log");
  };

  EXPECT_THAT(log_of(folder_ / "vm.vmgs", nowhere, folder_ / "data"),
              testing::HasSubstr("not-set-up: "));
  EXPECT_THAT(log_of(folder_ / "vm.vmgs", folder_ / "ctrl", nowhere),
              testing::HasSubstr("not-set-up: "));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "vm.vmgs"));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "vm.vmgs.key"));
  EXPECT_THAT(log_of(nowhere, folder_ / "ctrl", folder_ / "data"),
              testing::HasSubstr("not-set-up: "));
}

TEST_F(InstanceLifeTest, IsReadyAgainAfterAnInitThoughTheShutdownBeforeItFailed) {
  Instance instance(folder_.path(), stored());
  auto hypervisor = boot(instance);
  // The log may grow that far; the store is written beyond.
  const rlimit little{4096, RLIM_INFINITY};
  ASSERT_EQ(::prlimit(instance.process().pid(), RLIMIT_FSIZE, &little, nullptr), 0);

  // The TPM cannot store its Shutdown, and finds all it needs to be powered on again.
  ASSERT_EQ(*hypervisor.init(), 0U) << instance.log();
  ASSERT_TRUE(hypervisor.control(Control::kGetTpmEstablished, {}, 8));

  EXPECT_THAT(instance.log(), testing::HasSubstr("the TPM is in failure mode"));
  EXPECT_THAT(instance.log(), testing::Not(testing::HasSubstr("failure-mode")));
}

// A small file system of its own, which can be filled up and made read-only.
class SmallDisk {
 public:
  static std::unique_ptr<SmallDisk> mount(const std::filesystem::path& at, const char* size) {
    std::filesystem::create_directory(at);
    const std::string options = std::string("size=") + size;
    if (::mount("small", at.c_str(), "tmpfs", 0, options.c_str()) != 0) {
      return nullptr;
    }
    return std::unique_ptr<SmallDisk>(new SmallDisk(at));
  }

  SmallDisk(const SmallDisk&) = delete;
  SmallDisk& operator=(const SmallDisk&) = delete;

  ~SmallDisk() { ::umount2(at_.c_str(), MNT_DETACH); }

  void remount(unsigned long flags, const char* options) const {
    ASSERT_EQ(::mount("small", at_.c_str(), "tmpfs", MS_REMOUNT | flags, options), 0);
  }

  void fill() const {
    std::ofstream file(at_ / "filler", std::ios::binary);
    const std::string block(4096, 'x');
    while (file.write(block.data(), static_cast<std::streamsize>(block.size())).flush()) {
    }
    ASSERT_EQ(std::filesystem::space(at_).available, 0U);
  }

 private:
  explicit SmallDisk(std::filesystem::path at) : at_(std::move(at)) {}

  const std::filesystem::path at_;
};

class InstanceDiskTest : public InstanceTest {
 protected:
  void mount(const char* size) {
    disk_ = SmallDisk::mount(folder_ / "disk", size);
    if (disk_ == nullptr) {
      GTEST_SKIP() << "no file system can be mounted here: " << std::strerror(errno);
    }
  }

  [[nodiscard]] std::vector<std::string> stored_on_disk() const {
    return {"--vmgs", folder_ / "disk" / "vm.vmgs", "--key", folder_ / "vm.key", "--create"};
  }

  // Runs an instance that is to end by itself, and gives its exit status.
  int status_of_start() {
    std::vector<std::string> argv = {VTPM_INSTANCE, "--ctrl", folder_ / "ctrl"};
    const auto options = stored_on_disk();
    argv.insert(argv.end(), options.begin(), options.end());
    auto process = support::Process::start(argv, {.output = folder_ / "log"});
    return process->wait(std::chrono::seconds(20)).value_or(-1);
  }

  std::unique_ptr<SmallDisk> disk_;
};

TEST_F(InstanceDiskTest, AStoreThatDoesNotFitIsNotLeftInPart) {
  mount("1m");
  if (disk_ == nullptr) {
    return;
  }

  EXPECT_EQ(status_of_start(), 1);

  EXPECT_THAT(bytes_of("log"), testing::HasSubstr("No space left on device"));
  EXPECT_TRUE(std::filesystem::is_empty(folder_ / "disk"));
  disk_->remount(0, "size=16m");
  Instance instance(folder_.path(), stored_on_disk());
  boot(instance);
}

TEST_F(InstanceDiskTest, AFullDiskStopsNothingSinceTheStoreHasItsRoomAlready) {
  mount("16m");
  if (disk_ == nullptr) {
    return;
  }
  {
    Instance instance(folder_.path(), stored_on_disk());
    auto hypervisor = boot(instance);
    disk_->fill();
    ASSERT_EQ(run(hypervisor, tpm::nv_define(kIndex, 64)), tpm::kSuccess);
    ASSERT_EQ(run(hypervisor, tpm::nv_write(kIndex, data_of(1))), tpm::kSuccess);
    instance.process().kill();
  }
  Instance instance(folder_.path(), stored_on_disk());
  auto hypervisor = boot(instance);
  EXPECT_EQ(nv(hypervisor), data_of(1));
  EXPECT_EQ(instance.stop(), 0) << instance.log();
}

TEST_F(InstanceDiskTest, AReadOnlyStoreIsRefusedAndTakenUpAgain) {
  mount("16m");
  if (disk_ == nullptr) {
    return;
  }
  {
    Instance instance(folder_.path(), stored_on_disk());
    auto hypervisor = boot(instance);
    ASSERT_EQ(run(hypervisor, tpm::nv_define(kIndex, 64)), tpm::kSuccess);
    ASSERT_EQ(run(hypervisor, tpm::nv_write(kIndex, data_of(3))), tpm::kSuccess);
    ASSERT_EQ(instance.stop(), 0);
  }
  disk_->remount(MS_RDONLY, nullptr);
  const auto before = bytes_of("disk/vm.vmgs");

  EXPECT_EQ(status_of_start(), 1);

  EXPECT_THAT(bytes_of("log"), testing::AllOf(testing::HasSubstr("Read-only file system"),
                                              testing::HasSubstr("store-failing: ")));
  EXPECT_EQ(bytes_of("disk/vm.vmgs"), before);
  disk_->remount(0, nullptr);
  Instance instance(folder_.path(), stored_on_disk());
  auto hypervisor = boot(instance);
  EXPECT_EQ(nv(hypervisor), data_of(3));
}

TEST_F(InstanceLifeTest, AFileThatMayNotGrowIsAnErrorAndNotTheEnd) {
  auto process =
      support::Process::start({"prlimit", "--fsize=65536", VTPM_INSTANCE, "--vmgs",
                               folder_ / "vm.vmgs", "--create", "--ctrl", folder_ / "ctrl"},
                              {.output = folder_ / "log"});

  EXPECT_EQ(process->wait(std::chrono::seconds(20)), 1) << bytes_of("log");
  EXPECT_THAT(bytes_of("log"), testing::HasSubstr("File too large"));
  for (const auto& entry : std::filesystem::directory_iterator(folder_.path())) {
    EXPECT_THAT(entry.path().extension(), testing::AnyOf("", ".key")) << entry.path();
  }
}

// Nothing of an ephemeral TPM is ever in a file: its descriptors are looked at while it is in use.
TEST_F(InstanceLifeTest, AnEphemeralTpmHasNoFileOpen) {
  Instance instance(folder_.path(), {"--lifetime", "ephemeral"});
  auto hypervisor = boot(instance);
  ASSERT_EQ(run(hypervisor, tpm::nv_define(kIndex, 64)), tpm::kSuccess);
  ASSERT_EQ(run(hypervisor, tpm::nv_write(kIndex, data_of(1))), tpm::kSuccess);

  std::vector<std::string> files;
  const auto descriptors =
      std::filesystem::path("/proc") / std::to_string(instance.process().pid()) / "fd";
  for (const auto& entry : std::filesystem::directory_iterator(descriptors)) {
    std::error_code none;
    const auto target = std::filesystem::read_symlink(entry.path(), none).string();
    const bool is_file = target.starts_with("/") && !target.starts_with("/dev/");
    if (is_file && target != (folder_ / "log").string()) {
      files.push_back(target);
    }
  }

  EXPECT_THAT(files, testing::IsEmpty());
}

// The control channel.

TEST_F(InstanceControlTest, FollowsQemuFromItsStartToItsEnd) {
  Instance instance(folder_.path(), stored_in_the_open());
  auto qemu = *Hypervisor::connect(instance.control());
  ASSERT_EQ(*qemu.set_data_descriptor(), 0U);
  // QEMU finds out the version of the TPM before INIT, by the tag of a failure.
  EXPECT_EQ(base::to_hex(send(qemu, tpm::read_clock())), "80010000000a00000101");
  EXPECT_EQ(base::to_hex(*qemu.control(Control::kGetCapability, {}, 8)), "000000000001ffff");
  const auto size = [&](const char* wanted) {
    return base::to_hex(*qemu.control(Control::kSetBufferSize, *base::from_hex(wanted), 16));
  };
  for (int reset = 0; reset < 2; ++reset) {
    EXPECT_EQ(*qemu.result(Control::kStop), 0U);
    EXPECT_EQ(size("00000000").substr(0, 8), "00000000");
    EXPECT_EQ(*qemu.result(Control::kStop), 0U);
    EXPECT_EQ(size("00000f80"), "0000000000000f8000000af800001000");
    EXPECT_EQ(*qemu.init(), 0U);
    EXPECT_EQ(base::to_hex(*qemu.control(Control::kGetTpmEstablished, {}, 8)), "0000000000000000");
    EXPECT_EQ(*qemu.set_locality(0), 0U);
    EXPECT_EQ(run(qemu, tpm::startup_clear()), tpm::kSuccess);
  }
  EXPECT_EQ(*qemu.result(Control::kShutdown), 0U);
  EXPECT_EQ(instance.wait(), 0);
}

TEST_F(InstanceControlTest, AnswersEveryRequest) {
  Instance instance(folder_.path(), stored_in_the_open());
  auto client = SocketClient::connect(instance.control());
  const std::vector<std::array<std::string, 2>> off = {
      {"00000001", "000000000001ffff"},
      {"0000000f", "0000000000000000"},
      {"000000130000012c", "00000000"},
      {"0000000501000000", "00000000"},
      {"0000000505000000", "0000003d"},
      {"00000004", "0000000a00000000"},
      {"00000006", "0000000a"},
      {"0000000700000002abcd", "0000000a"},
      {"00000008", "0000000a"},
      {"00000009", "0000000a"},
      {"0000000a", "0000000a"},
      {"0000000b04000000", "0000000a"},
      {"0000000c000000010000000100000000", "0000000a000000000000000000000000"},
      {"0000001100001000",
       "00000000000010000000"
       "0af800001000"},
      {"00000010", "00000003"},
      {"000000ff", "0000000a"},
  };
  const std::vector<std::array<std::string, 2>> on = {
      {"0000000200000000", "00000000"},
      {"00000004", "0000000000000000"},
      {"00000006", "00000000"},
      {"0000000700000002abcd", "00000000"},
      {"00000008", "00000000"},
      {"00000004", "0000000001000000"},
      {"0000000b02000000", "0000003d"},
      {"0000000b09000000", "0000003d"},
      {"0000000b04000000", "00000000"},
      {"00000004", "0000000000000000"},
      {"00000009", "00000000"},
      {"0000000a", "00000000"},
      {"0000000c000000010000000300000000", "00000800000000000000000000000000"},
      {"0000000d000000000000000100000002beef", "0000000a"},
      {"0000001100000f80", "0000000a"},
      {"0000001100000000",
       "00000000000010000000"
       "0af800001000"},
      {"0000001200000000000000000000000000000000", "0000000000000003000000037b7d00"},
      {"0000001200000000000000000000000900000000", "00000003"},
      {"0000000e", "00000000"},
      {"0000000e", "00000000"},
      {"0000000d000000000000000100000002beef", "00000009"},
  };
  for (const auto& exchanges : {off, on}) {
    for (const auto& [request, answer] : exchanges) {
      EXPECT_EQ(client.exchange(request, answer.size() / 2), answer) << request;
    }
  }
  EXPECT_FALSE(client.something_to_read());
}

// The same requests to swtpm and to ours: whoever is used to the one finds the other.
TEST_F(InstanceControlTest, AnswersAsSwtpmDoes) {
  Instance instance(folder_.path(), stored_in_the_open());
  const TempFolder theirs;
  auto swtpm = *support::Process::start({"swtpm", "socket", "--tpm2", "--tpmstate",
                                         "dir=" + theirs.path().string(), "--ctrl",
                                         "type=unixio,path=" + (theirs / "ctrl").string()});
  ASSERT_TRUE(support::wait_for_socket(theirs / "ctrl", swtpm, std::chrono::seconds(20)));
  auto reference = SocketClient::connect(theirs / "ctrl");
  auto ours = SocketClient::connect(instance.control());

  struct Exchange {
    const char* request;
    std::size_t answer_bytes;
  };

  const std::vector<Exchange> exchanges = {
      {"0000000f", 8},                                    // GET_CONFIG
      {"0000000503000000", 4},                            // SET_LOCALITY as QEMU sends it
      {"0000000500", 4},                                  // and as others do
      {"0000000505000000", 4},                            // no such locality
      {"00000006", 4},                                    // HASH_START while it is off
      {"00000008", 4},                                    // HASH_END
      {"00000009", 4},                                    // CANCEL_TPM_CMD
      {"0000000a", 4},                                    // STORE_VOLATILE
      {"0000000b04000000", 4},                            // RESET_TPMESTABLISHED
      {"0000000e", 4},                                    // STOP
      {"0000001100000000", 16},                           // SET_BUFFERSIZE asks,
      {"0000001100000001", 16},                           // is clamped
      {"0000001100100000", 16},                           // both ways,
      {"0000001100000f80", 16},                           // and set
      {"00000010", 4},                                    // SET_DATAFD without one
      {"000000ff", 4},                                    // no such request
      {"0000000d000000000000000900000000", 4},            // SET_STATEBLOB of no such type
      {"0000001200000000000000070000000000000000", 238},  // GET_INFO
      {"0000000200000000", 4},                            // INIT
      {"00000004", 8},                                    // GET_TPMESTABLISHED
      {"00000006", 4},                                    // HASH_START
      {"0000000700000002abcd", 4},                        // HASH_DATA
      {"00000008", 4},                                    // HASH_END
      {"00000004", 8},                                    // GET_TPMESTABLISHED
      {"0000000b02000000", 4},                            // RESET_TPMESTABLISHED from 2
      {"0000000b09000000", 4},                            // from nowhere
      {"0000000b04000000", 4},                            // from 4
      {"00000004", 8},                                    // GET_TPMESTABLISHED
      {"00000009", 4},                                    // CANCEL_TPM_CMD
      {"0000001100001000", 4},                            // SET_BUFFERSIZE while it is on
      {"0000000d000000000000000100000000", 4},            // SET_STATEBLOB while it is on
      {"0000000c000000010000000300000000", 16},           // GET_STATEBLOB of a TPM 1.2
      {"0000001200000000000000000000000900000000", 4},    // GET_INFO past its end
      {"0000000a", 4},                                    // STORE_VOLATILE
      {"0000000e", 4},                                    // STOP
      {"0000000200000001", 4},                            // INIT, delete volatile
      {"00000003", 4},                                    // SHUTDOWN
  };
  for (const auto& [request, answer_bytes] : exchanges) {
    const auto expected = reference.exchange(request, answer_bytes);
    EXPECT_EQ(expected.size(), 2 * answer_bytes) << request << ": " << expected;
    EXPECT_EQ(ours.exchange(request, answer_bytes), expected) << request;
  }
}

TEST_F(InstanceControlTest, CancelsAKeyGenerationThatIsRunning) {
  Instance instance(folder_.path(), stored());
  auto hypervisor = boot(instance);
  auto other = *Hypervisor::connect(instance.control());

  ASSERT_TRUE(hypervisor.send_command(tpm::create_primary_rsa(3072, 1)));
  SocketClient data{base::Descriptor(::dup(hypervisor.data_descriptor()))};
  while (!data.something_to_read()) {
    ASSERT_EQ(*other.result(Control::kCancelTpmCommand), 0U);
  }

  EXPECT_EQ(response_code(*hypervisor.read_response()), tpm::kCanceled);
  EXPECT_EQ(run(hypervisor, tpm::get_random(8)), tpm::kSuccess);
}

TEST_F(InstanceControlTest, StopsDuringAKeyGeneration) {
  Instance instance(folder_.path(), stored());
  auto hypervisor = boot(instance);
  ASSERT_TRUE(hypervisor.send_command(tpm::create_primary_rsa(3072, 2)));

  EXPECT_EQ(*hypervisor.result(Control::kStop), 0U);

  EXPECT_THAT(response_code(*hypervisor.read_response()),
              testing::AnyOf(tpm::kCanceled, tpm::kFailure));
}

TEST_F(InstanceControlTest, RunsCommandsAtTheLocalityOfThePlatform) {
  Instance instance(folder_.path(), stored());
  auto hypervisor = boot(instance);

  EXPECT_EQ(run(hypervisor, tpm::pcr_extend(18, kDigest)), tpm::kLocality);
  ASSERT_EQ(*hypervisor.set_locality(3), 0U);
  EXPECT_EQ(run(hypervisor, tpm::pcr_extend(18, kDigest)), tpm::kSuccess);
  ASSERT_EQ(*hypervisor.set_locality(5), 61U);
  EXPECT_EQ(run(hypervisor, tpm::pcr_extend(18, kDigest)), tpm::kSuccess) << "the old one stays";
}

TEST_F(InstanceControlTest, BelievesALocalityOnItsDataSocketOnly) {
  auto options = stored();
  options.insert(options.end(), {"--data", folder_ / "data"});
  Instance instance(folder_.path(), options);
  auto hypervisor = boot(instance);
  base::Writer prefixed;
  const auto command = tpm::pcr_extend(18, kDigest);
  prefixed.u32_be(8);
  prefixed.u8(3);
  prefixed.u32_be(static_cast<std::uint32_t>(command.size()));
  prefixed.bytes(command);

  SocketClient guest{base::Descriptor(::dup(hypervisor.data_descriptor()))};
  guest.send(prefixed.written());
  EXPECT_EQ(base::to_hex(guest.receive(18)),
            "0000000a"
            "80010000000a00000907"
            "00000000");
  auto client = SocketClient::connect(instance.data());
  client.send(prefixed.written());
  EXPECT_EQ(base::to_hex(client.receive(4 + 10)).substr(20), "00000000");
}

// State blobs.

TEST_F(InstanceStateTest, MovesToAnotherInstance) {
  Instance source(folder_.path(), stored_in_the_open());
  auto hypervisor = boot(source);
  ASSERT_EQ(run(hypervisor, tpm::nv_define(kIndex, 64)), tpm::kSuccess);
  ASSERT_EQ(run(hypervisor, tpm::nv_write(kIndex, data_of(5))), tpm::kSuccess);
  ASSERT_EQ(run(hypervisor, tpm::pcr_extend(16, kDigest)), tpm::kSuccess);
  const auto pcr = tpm::pcr_value(send(hypervisor, tpm::pcr_read(16)));
  const auto permanent = *hypervisor.get_state_blob(1);
  const auto transient = *hypervisor.get_state_blob(2);
  EXPECT_FALSE(hypervisor.get_state_blob(3));
  EXPECT_EQ(run(hypervisor, tpm::get_random(8)), tpm::kSuccess) << "the source goes on";

  const TempFolder elsewhere;
  {
    Instance destination(elsewhere.path(), {"--vmgs", elsewhere / "vm.vmgs", "--create",
                                            "--incoming", "--state-blobs", "plain"});
    auto qemu = *Hypervisor::connect(destination.control());
    ASSERT_EQ(*qemu.set_data_descriptor(), 0U);
    EXPECT_FALSE(std::filesystem::exists(elsewhere / "vm.vmgs")) << "nothing before the state";
    EXPECT_NE(*qemu.init(), 0U) << "and no TPM either";
    ASSERT_EQ(*qemu.set_state_blob(1, permanent), 0U);
    ASSERT_EQ(*qemu.set_state_blob(2, transient), 0U);
    ASSERT_EQ(*qemu.init(1), 0U) << destination.log();
    EXPECT_EQ(tpm::pcr_value(send(qemu, tpm::pcr_read(16))), pcr);
    EXPECT_EQ(nv(qemu), data_of(5));
    EXPECT_EQ(*qemu.result(Control::kShutdown), 0U);
    EXPECT_EQ(destination.wait(), 0);
  }
  Instance later(elsewhere.path(), {"--vmgs", elsewhere / "vm.vmgs"});
  auto qemu = boot(later);
  EXPECT_EQ(nv(qemu), data_of(5));
}

TEST_F(InstanceStateTest, StaysWhereNobodySaidHowItLeaves) {
  Instance instance(folder_.path(), stored());
  auto hypervisor = boot(instance);

  EXPECT_FALSE(hypervisor.get_state_blob(1));

  EXPECT_THAT(instance.log(), testing::HasSubstr("state blobs are plain"));
  Instance incoming(folder_.path(), {"--vmgs", folder_ / "new.vmgs", "--create", "--incoming"});
  EXPECT_EQ(incoming.wait(), 2);
  EXPECT_THAT(incoming.log(), testing::HasSubstr("--state-blobs plain"));
}

TEST_F(InstanceStateTest, TwoResumesOfOneSnapshotDrawDifferentNumbers) {
  Instance instance(folder_.path(), stored_in_the_open());
  auto hypervisor = boot(instance);
  const auto permanent = *hypervisor.get_state_blob(1);
  const auto transient = *hypervisor.get_state_blob(2);
  std::vector<std::string> drawn;
  for (int resume = 0; resume < 2; ++resume) {
    ASSERT_EQ(*hypervisor.result(Control::kStop), 0U);
    ASSERT_EQ(*hypervisor.set_state_blob(1, permanent), 0U);
    ASSERT_EQ(*hypervisor.set_state_blob(2, transient), 0U);
    ASSERT_EQ(*hypervisor.init(1), 0U);
    drawn.push_back(base::to_hex(tpm::random_data(send(hypervisor, tpm::get_random(32)))));
  }
  EXPECT_NE(drawn[0], drawn[1]);
}

TEST_F(InstanceStateTest, GoesOnFromAStoredVolatileStateOnce) {
  std::string pcr;
  for (int start = 0; start < 3; ++start) {
    Instance instance(folder_.path(), stored());
    auto hypervisor = attach(instance);
    if (start == 0) {
      ASSERT_EQ(run(hypervisor, tpm::startup_clear()), tpm::kSuccess);
      ASSERT_EQ(run(hypervisor, tpm::pcr_extend(16, kDigest)), tpm::kSuccess);
      pcr = base::to_hex(tpm::pcr_value(send(hypervisor, tpm::pcr_read(16))));
      ASSERT_EQ(*hypervisor.result(Control::kStoreVolatile), 0U);
    } else if (start == 1) {
      EXPECT_EQ(base::to_hex(tpm::pcr_value(send(hypervisor, tpm::pcr_read(16)))), pcr);
    } else {
      EXPECT_EQ(run(hypervisor, tpm::startup_clear()), tpm::kSuccess);
      EXPECT_NE(base::to_hex(tpm::pcr_value(send(hypervisor, tpm::pcr_read(16)))), pcr);
    }
    instance.process().kill();
  }
}

TEST_F(InstanceStateTest, StaysInsideInAParavisor) {
  auto options = stored();
  options.insert(options.end(), {"--home", "paravisor"});
  Instance instance(folder_.path(), options);
  auto hypervisor = boot(instance);

  EXPECT_EQ(base::to_hex(*hypervisor.control(Control::kGetCapability, {}, 8)), "000000000001fcff");
  auto client = SocketClient::connect(instance.control());
  EXPECT_EQ(client.exchange("0000000c000000010000000100000000", 16),
            "0000000a000000000000000000000000");
  EXPECT_EQ(client.exchange("0000000e", 4), "00000000");
  EXPECT_EQ(client.exchange("0000000d000000000000000100000002beef", 4), "0000000a");
}

// Abuse.

TEST_F(InstanceAbuseTest, HalfRequestsAndHalfCommandsHoldNobodyUp) {
  auto options = stored();
  options.insert(options.end(), {"--data", folder_ / "data"});
  Instance instance(folder_.path(), options);
  auto half_request = SocketClient::connect(instance.control());
  half_request.send_hex(
      "00000002"
      "00");
  auto half_command = SocketClient::connect(instance.data());
  half_command.send_hex("80010000000c");
  auto half_blob = SocketClient::connect(instance.control());
  half_blob.send_hex(
      "0000000d"
      "00000000"
      "00000001"
      "00080000"
      "ff");

  auto hypervisor = boot(instance);

  EXPECT_EQ(run(hypervisor, tpm::get_random(8)), tpm::kSuccess);
  EXPECT_TRUE(half_request.closed_by_peer());
  EXPECT_TRUE(half_blob.closed_by_peer());
  // A half command gets its answer from the TPM, which finds it too short.
  EXPECT_EQ(base::to_hex(half_command.receive(10)).substr(0, 4), "8001");
}

TEST_F(InstanceAbuseTest, AnOversizedCommandIsAnsweredAndForgotten) {
  Instance instance(folder_.path(), stored());
  auto hypervisor = boot(instance);
  base::Bytes oversized(4096);
  oversized[0] = std::byte{0x80};
  oversized[1] = std::byte{0x01};
  oversized[2] = std::byte{0x01};

  EXPECT_EQ(run(hypervisor, oversized), tpm::kCommandSize);
  EXPECT_EQ(run(hypervisor, tpm::get_random(8)), tpm::kSuccess);
}

TEST_F(InstanceAbuseTest, CommandsWithBadSizesAreAnswered) {
  Instance instance(folder_.path(), stored());
  auto hypervisor = boot(instance);

  for (const char* command : {"800100000003", "80010000000900000144", "8001ffffffff0000017b0010"}) {
    EXPECT_NE(run(hypervisor, *base::from_hex(command)), tpm::kSuccess) << command;
    EXPECT_EQ(run(hypervisor, tpm::get_random(8)), tpm::kSuccess) << command;
  }
}

TEST_F(InstanceAbuseTest, ManyIdleClientsKeepNoHypervisorOut) {
  Instance instance(folder_.path(), stored());
  std::vector<SocketClient> idle;
  for (int i = 0; i < 200; ++i) {
    idle.push_back(SocketClient::connect(instance.control()));
  }
  auto hypervisor = boot(instance);
  for (int i = 0; i < 200; ++i) {
    idle.push_back(SocketClient::connect(instance.control()));
  }

  EXPECT_EQ(SocketClient::connect(instance.control()).exchange("0000000f", 8), "0000000000000000");
  EXPECT_EQ(run(hypervisor, tpm::get_random(8)), tpm::kSuccess);
  EXPECT_EQ(*hypervisor.set_locality(1), 0U) << "and none is dropped";
}

TEST_F(InstanceAbuseTest, AFloodHoldsNobodyUp) {
  auto options = stored();
  options.insert(options.end(), {"--data", folder_ / "data"});
  Instance instance(folder_.path(), options);
  auto flood_of_requests = SocketClient::connect(instance.control());
  auto flood_of_commands = SocketClient::connect(instance.data());
  std::string requests;
  std::string commands;
  for (int i = 0; i < 1000; ++i) {
    requests += "0000000e";
    commands += "80010000000c0000017b0010";
  }
  flood_of_requests.fill(*base::from_hex(requests));
  flood_of_commands.fill(*base::from_hex(commands));

  auto hypervisor = attach(instance);

  EXPECT_TRUE(hypervisor.command(tpm::get_random(8)));
}

TEST_F(InstanceAbuseTest, AGarbageBlobLeavesTheTpmAsItWas) {
  Instance instance(folder_.path(), stored_in_the_open());
  auto hypervisor = boot(instance);
  ASSERT_EQ(run(hypervisor, tpm::nv_define(kIndex, 64)), tpm::kSuccess);
  ASSERT_EQ(run(hypervisor, tpm::nv_write(kIndex, data_of(7))), tpm::kSuccess);
  ASSERT_EQ(*hypervisor.result(Control::kStop), 0U);

  for (const std::size_t size : {std::size_t{1}, std::size_t{1300}, std::size_t{524288}}) {
    EXPECT_NE(*hypervisor.set_state_blob(1, base::Bytes(size, std::byte{0x5a})), 0U) << size;
  }
  EXPECT_EQ(*hypervisor.set_state_blob(1, base::Bytes(524289)), 23U);

  ASSERT_EQ(*hypervisor.init(), 0U);
  ASSERT_EQ(run(hypervisor, tpm::startup_clear()), tpm::kSuccess);
  EXPECT_EQ(nv(hypervisor), data_of(7));
}

}  // namespace
}  // namespace tests::integration
