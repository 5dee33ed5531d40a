// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <filesystem>

#include "tests/integration/guest.h"

// What a guest keeps when vtpmd, an instance or their parent ends.
namespace tests::integration {
namespace {

namespace fs = std::filesystem;
namespace tpm = support;
using testing::HasSubstr;

constexpr std::array<std::byte, 32> kDigest = {std::byte{0x5a}};

using VtpmdLossTest = VtpmdTest;

TEST_F(VtpmdLossTest, StartsADeadInstanceAgainAsAResetForTheNextConnection) {
  (void)vtpmd_.create("a");
  auto hypervisor = boot("a");
  define_and_write(hypervisor, 1);
  const auto reset_value = tpm::pcr_value(send(hypervisor, tpm::pcr_read(16)));
  ASSERT_EQ(run(hypervisor, tpm::pcr_extend(16, kDigest)), tpm::kSuccess);

  ::kill(vtpmd_.pid("a"), SIGKILL);
  vtpmd_.wait_for("a", "crashed");

  // The guest that lost its TPM does not get another one.
  EXPECT_FALSE(hypervisor.command(tpm::pcr_read(16)));
  EXPECT_EQ(vtpmd_.readiness("a"), "crashed");
  EXPECT_THAT(vtpmd_.text("a", "readiness.reason"), HasSubstr("signal 9"));
  auto next = vtpmd_.attach("a");
  EXPECT_EQ(run(next, tpm::pcr_read(16)), tpm::kInitialize);
  ASSERT_EQ(run(next, tpm::startup_clear()), tpm::kSuccess);
  EXPECT_EQ(nv(next), data_of(1));
  EXPECT_EQ(tpm::pcr_value(send(next, tpm::pcr_read(16))), reset_value);
}

TEST_F(VtpmdLossTest, KeepsInstancesWhenTheirParentDiesAndStartsOthers) {
  (void)vtpmd_.create("a");
  auto hypervisor = boot("a");
  define_and_write(hypervisor, 1);
  const int pid = vtpmd_.pid("a");
  const int parent = parent_of(pid);
  ASSERT_NE(parent, vtpmd_.process().pid());

  ::kill(parent, SIGKILL);

  EXPECT_EQ(Vtpmd::text_in(vtpmd_.create("b"), "readiness.name"), "ready");
  EXPECT_EQ(nv(hypervisor), data_of(1));
  EXPECT_NE(parent_of(vtpmd_.pid("b")), parent);
  // Its life is still watched.
  ::kill(pid, SIGKILL);
  vtpmd_.wait_for("a", "crashed");
}

TEST_F(VtpmdLossTest, LetsAGuestKeepItsTpmWhenVtpmdIsKilledAndStartedAgain) {
  (void)vtpmd_.create("a");
  auto hypervisor = boot("a");
  define_and_write(hypervisor, 1);
  ASSERT_EQ(run(hypervisor, tpm::pcr_extend(16, kDigest)), tpm::kSuccess);
  const auto extended = tpm::pcr_value(send(hypervisor, tpm::pcr_read(16)));
  const int pid = vtpmd_.pid("a");

  vtpmd_.kill();
  EXPECT_EQ(run(hypervisor, tpm::nv_write(kIndex, data_of(2))), tpm::kSuccess);
  vtpmd_.start();

  vtpmd_.wait_for("a", "ready");
  EXPECT_EQ(vtpmd_.pid("a"), pid);
  EXPECT_EQ(vtpmd_.ctl({"stop", "a"}).status, 5);
  EXPECT_EQ(vtpmd_.ctl({"delete", "a", "--yes"}).status, 5);
  EXPECT_EQ(tpm::pcr_value(send(hypervisor, tpm::pcr_read(16))), extended);
  EXPECT_EQ(run(hypervisor, tpm::nv_write(kIndex, data_of(3))), tpm::kSuccess);
  { const auto gone = std::move(hypervisor); }
  auto next = boot("a");
  EXPECT_EQ(nv(next), data_of(3));
  EXPECT_EQ(vtpmd_.readiness("a"), "ready");
}

TEST_F(VtpmdLossTest, EndsAnInstanceOfAnEarlierVtpmdInOrder) {
  (void)vtpmd_.create("a");
  auto hypervisor = boot("a");
  define_and_write(hypervisor, 1);
  vtpmd_.kill();
  vtpmd_.start();
  vtpmd_.wait_for("a", "ready");

  EXPECT_EQ(vtpmd_.ctl({"stop", "a", "--force"}).status, 0);

  EXPECT_EQ(vtpmd_.readiness("a"), "stopped");
  auto next = boot("a");
  EXPECT_EQ(nv(next), data_of(1));
}

TEST_F(VtpmdLossTest, EndsADetachedInstanceByForce) {
  (void)vtpmd_.create("a");
  const auto door = fs::path(vtpmd_.text("a", "control_socket")).parent_path() / "door";
  auto hypervisor = boot("a");
  define_and_write(hypervisor, 1);
  vtpmd_.kill();
  // Without its door nobody finds the way to it.
  ASSERT_TRUE(fs::remove(door));
  vtpmd_.start();
  ASSERT_EQ(vtpmd_.readiness("a"), "detached");

  EXPECT_EQ(vtpmd_.ctl({"stop", "a", "--force"}).status, 0);

  EXPECT_EQ(vtpmd_.readiness("a"), "stopped");
  auto next = boot("a");
  EXPECT_EQ(nv(next), data_of(1));
}

TEST_F(VtpmdLossTest, NeedsNoCleaningAfterAKillWithoutGuests) {
  (void)vtpmd_.create("a");
  (void)vtpmd_.create("b", {"--leave-stopped"});

  vtpmd_.kill();
  vtpmd_.start();

  auto a = boot("a");
  auto b = boot("b");
  EXPECT_EQ(vtpmd_.readiness("a"), "ready");
  EXPECT_EQ(vtpmd_.readiness("b"), "ready");
}

TEST_F(VtpmdLossTest, EndsInOrderAndLeavesGuestsTheirTpms) {
  (void)vtpmd_.create("a");
  (void)vtpmd_.create("idle");
  auto hypervisor = boot("a");
  define_and_write(hypervisor, 1);

  EXPECT_EQ(vtpmd_.stop(), 0) << vtpmd_.log();

  EXPECT_EQ(nv(hypervisor), data_of(1));
  vtpmd_.start();
  vtpmd_.wait_for("a", "ready");
  EXPECT_EQ(vtpmd_.readiness("idle"), "stopped");
}

// As a terminal does at Ctrl-C: the signal goes to vtpmd's process group.
TEST_F(VtpmdLossTest, LeavesGuestsTheirTpmsWhenItsWholeGroupIsInterrupted) {
  vtpmd_.kill();
  auto command = vtpmd_.command_line();
  command.insert(command.begin(), "/usr/bin/setsid");
  auto leader = support::Process::start(command, {.output = folder_ / "log"});
  ASSERT_TRUE(leader);
  ASSERT_TRUE(support::wait_for_socket(vtpmd_.socket(), *leader, std::chrono::seconds(20)));
  (void)vtpmd_.create("a");
  auto hypervisor = boot("a");
  define_and_write(hypervisor, 1);

  ASSERT_EQ(::kill(-leader->pid(), SIGINT), 0);

  EXPECT_EQ(leader->wait(std::chrono::seconds(30)), 0) << vtpmd_.log();
  EXPECT_EQ(nv(hypervisor), data_of(1));
}

}  // namespace
}  // namespace tests::integration
