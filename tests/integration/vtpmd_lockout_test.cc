// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include <csignal>
#include <fstream>
#include <string>

#include "tests/integration/guest.h"

namespace tests::integration {
namespace {

namespace tpm = support;
using support::Hypervisor;
using testing::HasSubstr;

class VtpmdLockoutTest : public VtpmdTest {
 protected:
  // An index whose wrong passwords count, used by its right one.
  static void use_guarded(Hypervisor& hypervisor) {
    // The first use of such an authorization in a life is noted in NV, and then to be tried again.
    auto answer = tpm::kRetry;
    while (answer == tpm::kRetry) {
      answer = run(hypervisor, tpm::nv_read(kIndex, 8));
    }
    EXPECT_EQ(answer, tpm::kSuccess);
  }

  static void define_guarded(Hypervisor& hypervisor) {
    ASSERT_EQ(run(hypervisor, tpm::nv_define_guarded(kIndex, 8)), tpm::kSuccess);
    while (run(hypervisor, tpm::nv_write(kIndex, base::Bytes(8))) == tpm::kRetry) {
    }
  }

  static void lock(Hypervisor& hypervisor) {
    std::uint32_t answer = tpm::kSuccess;
    for (int i = 0; i < 100 && answer != tpm::kLockout; ++i) {
      answer = run(hypervisor, tpm::nv_read(kIndex, 8, "wrong"));
    }
    ASSERT_EQ(answer, tpm::kLockout);
  }

  std::string lockout(const std::string& field) {
    return Vtpmd::text_in(vtpmd_.show("a"), "lockout." + field);
  }

  std::string auth_file(std::string_view content) {
    const auto file = folder_ / "auth";
    std::ofstream(file, std::ios::binary) << content;
    return file;
  }
};

TEST_F(VtpmdLockoutTest, ShowsTriesAndTimesBetweenTheGuestsCommands) {
  (void)vtpmd_.create("a");
  EXPECT_EQ(Vtpmd::text_in(vtpmd_.show("a"), "lockout"), "null");
  auto hypervisor = boot("a");
  define_guarded(hypervisor);
  const auto session = send(hypervisor, tpm::start_auth_session());
  ASSERT_EQ(support::response_code(session), tpm::kSuccess);
  EXPECT_EQ(lockout("failed_tries"), "0");

  EXPECT_NE(run(hypervisor, tpm::nv_read(kIndex, 8, "wrong")), tpm::kSuccess);

  EXPECT_EQ(lockout("failed_tries"), "1");
  EXPECT_EQ(lockout("locked_out"), "false");
  EXPECT_EQ(lockout("locked_out_until"), "null");
  EXPECT_EQ(lockout("has_authorization"), "false");
  EXPECT_NE(lockout("recovery_seconds"), "0");
  EXPECT_THAT(vtpmd_.ctl({"show", "a"}).out, HasSubstr("lockout     1 of " + lockout("max_tries")));
  // The guest's session is still there.
  EXPECT_EQ(run(hypervisor, tpm::flush_context(0x02000000)), tpm::kSuccess);
}

TEST_F(VtpmdLockoutTest, IsResetByTheTenantsAuthorizationAlone) {
  (void)vtpmd_.create("a");
  auto hypervisor = boot("a");
  define_guarded(hypervisor);
  ASSERT_EQ(run(hypervisor, tpm::set_auth(tpm::kLockoutHierarchy, base::bytes_of("tenant"))),
            tpm::kSuccess);
  lock(hypervisor);
  EXPECT_EQ(lockout("locked_out"), "true");
  EXPECT_NE(lockout("locked_out_until"), "null");
  EXPECT_EQ(vtpmd_.ctl({"lockout", "show", "a"}).status, 3);
  vtpmd_.wait_for("a", "locked-out");

  // As an editor leaves it, with a line end.
  const auto reset = vtpmd_.ctl({"lockout", "reset", "a", "--auth-file", auth_file("tenant\n")});
  EXPECT_EQ(reset.status, 0) << reset.err;
  EXPECT_THAT(reset.out, HasSubstr("0 of "));
  vtpmd_.wait_for("a", "ready");
  EXPECT_EQ(run(hypervisor, tpm::nv_read(kIndex, 8)), tpm::kSuccess);

  // A wrong one is said to be wrong, and then nobody's is taken.
  const auto wrong = vtpmd_.ctl({"lockout", "reset", "a", "--auth-file", auth_file("guess")});
  EXPECT_NE(wrong.status, 0);
  EXPECT_THAT(wrong.err, HasSubstr("not the TPM's lockout authorization"));
  EXPECT_THAT(wrong.err, HasSubstr("do not try again"));
  const auto too_late = vtpmd_.ctl({"lockout", "reset", "a", "--auth-file", auth_file("tenant")});
  EXPECT_NE(too_late.status, 0);
  EXPECT_THAT(too_late.err, HasSubstr("takes no lockout authorization now"));
  EXPECT_THAT(vtpmd_.log(), testing::Not(HasSubstr("guess")));
}

TEST_F(VtpmdLockoutTest, IsKnownOfATpmThatIsOnOnly) {
  (void)vtpmd_.create("a");
  const auto before_startup = vtpmd_.ctl({"lockout", "show", "a"});
  EXPECT_NE(before_startup.status, 0);
  EXPECT_THAT(before_startup.err,
              testing::AnyOf(HasSubstr("the TPM is off"), HasSubstr("has not started its TPM")));
  EXPECT_EQ(vtpmd_.ctl({"stop", "a"}).status, 0);
  const auto stopped = vtpmd_.ctl({"lockout", "show", "a"});
  EXPECT_NE(stopped.status, 0);
  EXPECT_THAT(stopped.err, HasSubstr("start its guest first"));
}

// Without a Shutdown each of these would count as a failed try: the guest used an authorization
// that counts, and might have been cut off before a wrong one was noted.
TEST_F(VtpmdLockoutTest, DoesNotCreepOverFortyHardStops) {
  (void)vtpmd_.create("a");
  {
    auto hypervisor = boot("a");
    define_guarded(hypervisor);
  }
  for (int round = 0; round < 10; ++round) {
    {
      // QEMU is killed: its sockets close, and another one begins.
      auto hypervisor = boot("a");
      use_guarded(hypervisor);
    }
    {
      // The guest is reset; and then the VM is stopped under it.
      auto hypervisor = boot("a");
      use_guarded(hypervisor);
      ASSERT_EQ(hypervisor.init().value_or(99), 0U);
      ASSERT_EQ(run(hypervisor, tpm::startup_clear()), tpm::kSuccess);
      use_guarded(hypervisor);
      EXPECT_EQ(vtpmd_.ctl({"stop", "a", "--force"}).status, 0);
    }
    {
      // The instance is told to end, as when its machine shuts down.
      auto hypervisor = boot("a");
      use_guarded(hypervisor);
      ASSERT_EQ(::kill(vtpmd_.pid("a"), SIGTERM), 0);
      vtpmd_.wait_for("a", "stopped");
    }
  }
  auto hypervisor = boot("a");
  EXPECT_EQ(lockout("failed_tries"), "0");
}

}  // namespace
}  // namespace tests::integration
