// SPDX-License-Identifier: Apache-2.0
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <memory>

#include "tests/integration/instance_case.h"

namespace tests::integration {
namespace {

// How an instance lives with its store and its files, and ends.
using InstanceLifeTest = InstanceTest;

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

}  // namespace
}  // namespace tests::integration
