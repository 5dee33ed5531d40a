// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "tests/integration/vtpmd.h"
#include "tests/support/nbd_client.h"
#include "tests/support/temp_folder.h"
#include "tests/support/tpm_commands.h"
#include "vmgs/base/cursor.h"

namespace tests::integration {
namespace {

namespace fs = std::filesystem;
namespace tpm = support;
using support::Hypervisor;
using support::NbdClient;
using support::TempFolder;
using testing::HasSubstr;
using testing::Optional;

constexpr std::uint32_t kIndex = 0x01500016;
constexpr std::array<std::byte, 32> kDigest = {std::byte{0x5a}};

base::Bytes data_of(std::uint64_t value) {
  base::Writer writer;
  writer.u64_be(value);
  return std::move(writer).take();
}

// An instance is of a program that lies in the test's folder, so that it can be upgraded.
class VtpmdReplaceTest : public testing::Test {
 protected:
  VtpmdReplaceTest() {
    fs::copy_file(VTPM_INSTANCE, program());
    vtpmd_.emplace(folder_.path(), program());
  }

  [[nodiscard]] fs::path program() const { return folder_ / "vtpm-instance"; }

  // As a package manager does: another file under the same name.
  void upgrade(const fs::path& to = VTPM_INSTANCE) const {
    const auto next = folder_ / "vtpm-instance.dpkg-new";
    fs::copy_file(to, next, fs::copy_options::overwrite_existing);
    fs::rename(next, program());
  }

  // Whether a process is of the program as it lies there now. Only root can tell, as an instance
  // lets nobody look into it.
  [[nodiscard]] bool is_of_program(int pid) const {
    struct stat runs {};

    struct stat lies {};

    const auto link = "/proc/" + std::to_string(pid) + "/exe";
    EXPECT_EQ(::stat(program().c_str(), &lies), 0);
    return ::geteuid() != 0 || (::stat(link.c_str(), &runs) == 0 && runs.st_ino == lies.st_ino);
  }

  [[nodiscard]] Hypervisor boot(const std::string& name) const {
    auto hypervisor = vtpmd_->attach(name);
    EXPECT_EQ(run(hypervisor, tpm::startup_clear()), tpm::kSuccess) << vtpmd_->log();
    return hypervisor;
  }

  static base::Bytes send(Hypervisor& hypervisor, const base::Bytes& command) {
    const auto response = hypervisor.command(command);
    EXPECT_TRUE(response) << response.error().message;
    return response ? *response : base::Bytes(10, std::byte{0xff});
  }

  static std::uint32_t run(Hypervisor& hypervisor, const base::Bytes& command) {
    return support::response_code(send(hypervisor, command));
  }

  // The handle that a response begins with.
  static std::uint32_t handle_in(const base::Bytes& response) {
    base::Reader reader(response);
    (void)reader.bytes(10);
    return *reader.u32_be();
  }

  static std::uint64_t read_number(Hypervisor& hypervisor) {
    const auto data = tpm::nv_data(send(hypervisor, tpm::nv_read(kIndex, 8)));
    base::Reader reader(data);
    return *reader.u64_be();
  }

  static base::Bytes some(char value) { return base::Bytes(512, static_cast<std::byte>(value)); }

  // replace() gives how long the TPM stood still, in microseconds.
  std::int64_t replace(const std::string& name) {
    const auto replaced = vtpmd_->ctl_json({"replace", name});
    EXPECT_EQ(Vtpmd::text_in(replaced, "replaced"), "true") << vtpmd_->log();
    const auto* pause = replaced.if_contains("pause_microseconds");
    return pause == nullptr ? -1 : pause->to_number<std::int64_t>();
  }

  TempFolder folder_;
  std::optional<Vtpmd> vtpmd_;
};

TEST_F(VtpmdReplaceTest, GivesARunningGuestAProcessOfTheUpgradedProgram) {
  (void)vtpmd_->create("a");
  auto hypervisor = boot("a");
  ASSERT_EQ(run(hypervisor, tpm::nv_define(kIndex, 8)), tpm::kSuccess);
  ASSERT_EQ(run(hypervisor, tpm::nv_write(kIndex, data_of(1))), tpm::kSuccess);
  ASSERT_EQ(run(hypervisor, tpm::pcr_extend(16, kDigest)), tpm::kSuccess);
  ASSERT_EQ(hypervisor.set_locality(2), 0U);
  const auto session = send(hypervisor, tpm::start_auth_session());
  ASSERT_EQ(support::response_code(session), tpm::kSuccess);
  const auto extended = tpm::pcr_value(send(hypervisor, tpm::pcr_read(16)));
  const int before = vtpmd_->pid("a");
  upgrade();
  ASSERT_TRUE(::geteuid() != 0 || !is_of_program(before));

  EXPECT_GE(replace("a"), 0);

  EXPECT_NE(vtpmd_->pid("a"), before);
  EXPECT_TRUE(is_of_program(vtpmd_->pid("a")));
  EXPECT_EQ(tpm::pcr_value(send(hypervisor, tpm::pcr_read(16))), extended);
  EXPECT_EQ(read_number(hypervisor), 1U);
  EXPECT_EQ(run(hypervisor, tpm::flush_context(handle_in(session))), tpm::kSuccess);
  EXPECT_EQ(run(hypervisor, tpm::nv_write(kIndex, data_of(2))), tpm::kSuccess);
  EXPECT_EQ(vtpmd_->readiness("a"), "ready");
  EXPECT_EQ(Vtpmd::text_in(vtpmd_->show("a"), "guest"), "true");
  // The control connection, too, and its end is that of the VM. No TPM is started from locality 2,
  // which is still where it is.
  EXPECT_EQ(hypervisor.init(), 0U);
  ASSERT_EQ(run(hypervisor, tpm::startup_clear()), tpm::kLocality);
  ASSERT_EQ(hypervisor.set_locality(0), 0U);
  ASSERT_EQ(run(hypervisor, tpm::startup_clear()), tpm::kSuccess);
  EXPECT_EQ(read_number(hypervisor), 2U);
  EXPECT_EQ(hypervisor.result(support::Control::kShutdown), 0U);
  vtpmd_->wait_for("a", "stopped");
  auto next = boot("a");
  EXPECT_EQ(read_number(next), 2U);
}

TEST_F(VtpmdReplaceTest, StartsInstancesOfTheUpgradedProgram) {
  (void)vtpmd_->create("a");
  ASSERT_EQ(vtpmd_->ctl({"stop", "a"}).status, 0);
  upgrade();

  auto hypervisor = boot("a");

  EXPECT_TRUE(is_of_program(vtpmd_->pid("a")));
}

TEST_F(VtpmdReplaceTest, GoesOnWithTheProgramBeforeWhereTheUpgradedOneDoesNotRun) {
  (void)vtpmd_->create("a");
  (void)vtpmd_->create("b");
  ASSERT_EQ(vtpmd_->ctl({"stop", "b"}).status, 0);
  auto hypervisor = boot("a");
  upgrade("/bin/false");

  auto other = boot("b");

  EXPECT_EQ(vtpmd_->readiness("b"), "ready");
  const auto refused = vtpmd_->ctl({"replace", "a"});
  EXPECT_EQ(refused.status, 8);
  EXPECT_THAT(refused.err, HasSubstr("install one that runs"));
  EXPECT_EQ(run(hypervisor, tpm::read_clock()), tpm::kSuccess);
  upgrade();
  EXPECT_GE(replace("a"), 0);
  EXPECT_TRUE(is_of_program(vtpmd_->pid("a")));
}

// A guest that writes and reads all the time; each answer is to be right and to come.
TEST_F(VtpmdReplaceTest, PausesAGuestWithTrafficAndLosesNothing) {
  (void)vtpmd_->create("a");
  auto hypervisor = boot("a");
  ASSERT_EQ(run(hypervisor, tpm::nv_define(kIndex, 8)), tpm::kSuccess);
  std::atomic<bool> ends = false;
  std::atomic<std::uint64_t> acknowledged = 0;
  std::chrono::microseconds longest{};
  std::string trouble;
  std::thread guest([&] {
    for (std::uint64_t number = 1; !ends && trouble.empty(); ++number) {
      const auto begun = std::chrono::steady_clock::now();
      const auto written = hypervisor.command(tpm::nv_write(kIndex, data_of(number)));
      longest = std::max(longest, std::chrono::duration_cast<std::chrono::microseconds>(
                                      std::chrono::steady_clock::now() - begun));
      if (!written || support::response_code(*written) != tpm::kSuccess) {
        trouble = written ? "a write was refused" : written.error().message;
      } else if (read_number(hypervisor) != number) {
        trouble = "a write was lost";
      } else {
        acknowledged = number;
      }
    }
  });
  std::vector<std::int64_t> pauses;

  for (int round = 0; round < 5; ++round) {
    const auto written = acknowledged.load();
    pauses.push_back(replace("a"));
    // It goes on.
    while (acknowledged < written + 3 && trouble.empty()) {
      std::this_thread::yield();
    }
  }

  ends = true;
  guest.join();
  EXPECT_EQ(trouble, "") << vtpmd_->log();
  std::sort(pauses.begin(), pauses.end());
  std::printf(
      "replaced 5 times under %llu acknowledged writes; the TPM stood still for %lld us in "
      "the median, %lld us at most; the guest's longest command took %lld us\n",
      static_cast<unsigned long long>(acknowledged), static_cast<long long>(pauses[2]),
      static_cast<long long>(pauses.back()), static_cast<long long>(longest.count()));
  EXPECT_GT(pauses[0], 0);
  EXPECT_LT(longest, std::chrono::seconds(10));
  { const auto gone = std::move(hypervisor); }
  auto next = boot("a");
  EXPECT_EQ(read_number(next), acknowledged);
}

TEST_F(VtpmdReplaceTest, ReplacesEphemeralAndIdleVmsAndAllAtOnce) {
  (void)vtpmd_->create("ephemeral", {"--lifetime", "ephemeral"});
  (void)vtpmd_->create("idle");
  (void)vtpmd_->create("stopped", {"--leave-stopped"});
  auto hypervisor = boot("ephemeral");
  ASSERT_EQ(run(hypervisor, tpm::nv_define(kIndex, 8)), tpm::kSuccess);
  ASSERT_EQ(run(hypervisor, tpm::nv_write(kIndex, data_of(7))), tpm::kSuccess);
  const int idle = vtpmd_->pid("idle");

  const auto ran = vtpmd_->ctl({"replace", "--all"});

  EXPECT_EQ(ran.status, 0) << ran.out << ran.err << vtpmd_->log();
  EXPECT_THAT(ran.out, HasSubstr("ephemeral: replaced"));
  EXPECT_THAT(ran.out, HasSubstr("idle: replaced"));
  EXPECT_THAT(ran.out, testing::Not(HasSubstr("stopped")));
  EXPECT_NE(vtpmd_->pid("idle"), idle);
  // Also what lies in memory for the next power cycle.
  ASSERT_EQ(hypervisor.init(), 0U);
  ASSERT_EQ(run(hypervisor, tpm::startup_clear()), tpm::kSuccess);
  EXPECT_EQ(read_number(hypervisor), 7U);
  auto other = boot("idle");
  EXPECT_EQ(vtpmd_->readiness("idle"), "ready");
}

// The firmware's variables are served by the same process, to another socket of the hypervisor.
TEST_F(VtpmdReplaceTest, LeavesTheFirmwareItsVariables) {
  for (const std::string lifetime : {"persistent", "ephemeral"}) {
    (void)vtpmd_->create(lifetime, {"--lifetime", lifetime, "--variables-size", "131072"});
    auto hypervisor = boot(lifetime);
    auto connected = NbdClient::connect(vtpmd_->text(lifetime, "variables_socket"));
    ASSERT_TRUE(connected) << vtpmd_->log();
    auto variables = *std::move(connected);
    ASSERT_THAT(variables.write(512, some('a')), Optional(0U));  // and not flushed

    EXPECT_GE(replace(lifetime), 0);

    EXPECT_THAT(variables.read(512, 512), Optional(some('a')));
    ASSERT_THAT(variables.write(1024, some('b')), Optional(0U));
    ASSERT_THAT(variables.flush(), Optional(0U));
    EXPECT_FALSE(NbdClient::connect(vtpmd_->text(lifetime, "variables_socket")))
        << "two would write into each other's variables";
    variables.disconnect();
    EXPECT_GE(replace(lifetime), 0) << "and with nobody";
    auto next = NbdClient::connect(vtpmd_->text(lifetime, "variables_socket"));
    ASSERT_TRUE(next) << vtpmd_->log();
    EXPECT_THAT(next->read(512, 512), Optional(some('a')));
    EXPECT_THAT(next->read(1024, 512), Optional(some('b')));
    EXPECT_EQ(run(hypervisor, tpm::read_clock()), tpm::kSuccess);
  }
}

TEST_F(VtpmdReplaceTest, KeepsTheInstanceWhenTheUpgradedProgramCannotTakeOver) {
  (void)vtpmd_->create("a");
  auto hypervisor = boot("a");
  ASSERT_EQ(run(hypervisor, tpm::pcr_extend(16, kDigest)), tpm::kSuccess);
  const auto extended = tpm::pcr_value(send(hypervisor, tpm::pcr_read(16)));
  const int before = vtpmd_->pid("a");
  const auto store = fs::path(vtpmd_->text("a", "store_path"));
  fs::rename(store.parent_path() / "vm.key", folder_ / "key");

  const auto refused = vtpmd_->ctl({"replace", "a"});

  EXPECT_EQ(refused.status, 8);
  EXPECT_THAT(refused.err, HasSubstr("is served as before"));
  EXPECT_THAT(refused.err, HasSubstr("vm.key"));
  EXPECT_EQ(vtpmd_->pid("a"), before);
  EXPECT_EQ(tpm::pcr_value(send(hypervisor, tpm::pcr_read(16))), extended);
  EXPECT_EQ(run(hypervisor, tpm::nv_define(kIndex, 8)), tpm::kSuccess);
  // Others still find it.
  EXPECT_TRUE(Hypervisor::connect(vtpmd_->text("a", "control_socket"))
                  ->result(support::Control::kGetTpmEstablished));
  EXPECT_EQ(vtpmd_->ctl({"replace", "--all"}).status, 3);
  EXPECT_EQ(vtpmd_->ctl({"replace"}).status, 2);
  EXPECT_EQ(vtpmd_->ctl({"replace", "a", "--all"}).status, 2);
  fs::rename(folder_ / "key", store.parent_path() / "vm.key");
  EXPECT_GE(replace("a"), 0);
  EXPECT_EQ(tpm::pcr_value(send(hypervisor, tpm::pcr_read(16))), extended);
}

// The whole host is upgraded: vtpmd is started anew, finds its instances, and replaces them.
TEST_F(VtpmdReplaceTest, ReclaimsAnInstanceAfterARestartAndReplacesIt) {
  (void)vtpmd_->create("a");
  auto hypervisor = boot("a");
  ASSERT_EQ(run(hypervisor, tpm::pcr_extend(16, kDigest)), tpm::kSuccess);
  const auto extended = tpm::pcr_value(send(hypervisor, tpm::pcr_read(16)));
  const int before = vtpmd_->pid("a");
  for (const bool in_order : {false, true}) {
    upgrade();
    if (in_order) {
      ASSERT_EQ(vtpmd_->stop(), 0);
    } else {
      vtpmd_->kill();
    }
    vtpmd_->start();
    vtpmd_->wait_for("a", "ready");
  }
  EXPECT_EQ(vtpmd_->pid("a"), before);
  EXPECT_EQ(Vtpmd::text_in(vtpmd_->show("a"), "guest"), "true");

  EXPECT_GE(replace("a"), 0);

  EXPECT_TRUE(is_of_program(vtpmd_->pid("a")));
  EXPECT_EQ(tpm::pcr_value(send(hypervisor, tpm::pcr_read(16))), extended);
  // The next vtpmd finds the successor by the same door.
  vtpmd_->kill();
  vtpmd_->start();
  vtpmd_->wait_for("a", "ready");
  EXPECT_GE(replace("a"), 0);
  EXPECT_EQ(tpm::pcr_value(send(hypervisor, tpm::pcr_read(16))), extended);
  // And new clients find it where the newest vtpmd listens.
  EXPECT_TRUE(Hypervisor::connect(vtpmd_->text("a", "control_socket"))
                  ->result(support::Control::kGetTpmEstablished));
}

TEST_F(VtpmdReplaceTest, RefusesWhatDoesNotRun) {
  (void)vtpmd_->create("a", {"--leave-stopped"});

  EXPECT_EQ(vtpmd_->ctl({"replace", "a"}).status, 5);
  EXPECT_EQ(vtpmd_->ctl({"replace", "nobody"}).status, 4);
  EXPECT_EQ(vtpmd_->ctl({"replace", "--all"}).status, 0);
}

}  // namespace
}  // namespace tests::integration
