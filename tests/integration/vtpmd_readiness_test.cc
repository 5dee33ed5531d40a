// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <sys/resource.h>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <cstdlib>

#include "tests/integration/guest.h"
#include "tests/integration/instance.h"
#include "tests/integration/simulated_authority.h"

namespace tests::integration {
namespace {

namespace fs = std::filesystem;
namespace tpm = support;
using support::Hypervisor;
using testing::HasSubstr;

// Each readiness that can be had without a broker, from the operator's chair.
class VtpmdReadinessTest : public VtpmdTest {
 protected:
  // `vtpmctl ready` says no, by name, with what it means and what to do.
  void expect_not_ready(const std::string& vm, const std::string& name) {
    const auto ran = vtpmd_.ctl({"ready", vm});
    EXPECT_EQ(ran.status, 3) << ran.out << ran.err;
    EXPECT_THAT(ran.out, HasSubstr("readiness   " + name + ": "));
    EXPECT_THAT(ran.out, HasSubstr("remedy      "));
  }

  // start_fails() starts a stopped VM and waits until it is known how that ended.
  void start_fails(const std::string& vm, const std::string& name) {
    EXPECT_EQ(vtpmd_.ctl({"start", vm}).status, 0);
    const auto ready = vtpmd_.ctl_json({"ready", vm, "--wait"}, 3);
    EXPECT_EQ(Vtpmd::text_in(ready, "name"), name) << vtpmd_.log();
    EXPECT_NE(Vtpmd::text_in(ready, "reason"), "");
    expect_not_ready(vm, name);
    // Whoever connects is hung up on, and nothing was made in the state's place.
    EXPECT_FALSE(Hypervisor::attach(vtpmd_.text(vm, "control_socket")));
  }

  fs::path create_and_stop(const std::string& name) {
    const fs::path store = Vtpmd::text_in(vtpmd_.create(name), "store_path");
    {
      auto hypervisor = boot(name);
      define_and_write(hypervisor, 1);
      EXPECT_EQ(hypervisor.result(support::Control::kShutdown).value_or(99), 0U);
    }
    vtpmd_.wait_for(name, "stopped");
    return store;
  }

  // The TPM is the one that create_and_stop() left.
  void expect_whole(const std::string& name) {
    auto hypervisor = boot(name);
    EXPECT_EQ(nv(hypervisor), data_of(1));
    EXPECT_EQ(vtpmd_.ctl({"ready", name}).status, 0);
  }
};

TEST_F(VtpmdReadinessTest, SaysReadyWithStatusZero) {
  (void)vtpmd_.create("a");

  const auto ran = vtpmd_.ctl({"ready", "a"});

  EXPECT_EQ(ran.status, 0);
  EXPECT_THAT(ran.out, HasSubstr("ready"));
}

TEST_F(VtpmdReadinessTest, SeesALockoutComeAndGo) {
  (void)vtpmd_.create("a");
  auto hypervisor = boot("a");
  ASSERT_EQ(run(hypervisor, tpm::nv_define_guarded(kIndex, 8)), tpm::kSuccess);
  // The first use of such an authorization is noted in NV, and then to be tried again.
  while (run(hypervisor, tpm::nv_write(kIndex, data_of(1))) == tpm::kRetry) {
  }
  std::uint32_t answer = tpm::kSuccess;
  for (int i = 0; i < 100 && answer != tpm::kLockout; ++i) {
    answer = run(hypervisor, tpm::nv_read(kIndex, 8, "wrong"));
  }
  ASSERT_EQ(answer, tpm::kLockout);

  vtpmd_.wait_for("a", "locked-out");
  expect_not_ready("a", "locked-out");
  EXPECT_EQ(vtpmd_.ctl({"ready", "a", "--wait"}).status, 3);

  EXPECT_EQ(run(hypervisor, tpm::clear_lockout()), tpm::kSuccess);
  vtpmd_.wait_for("a", "ready");
  EXPECT_EQ(nv(hypervisor), data_of(1));
}

TEST_F(VtpmdReadinessTest, IsInFailureModeWhenTheDiskRefusesAWriteAndLosesNothing) {
  (void)vtpmd_.create("a");
  {
    auto hypervisor = boot("a");
    define_and_write(hypervisor, 1);
    // No file may grow or change beyond its first byte: a disk that fails.
    const rlimit nothing{0, 0};
    ASSERT_EQ(::prlimit(vtpmd_.pid("a"), RLIMIT_FSIZE, &nothing, nullptr), 0);

    EXPECT_EQ(run(hypervisor, tpm::nv_write(kIndex, data_of(2))), tpm::kFailure);

    vtpmd_.wait_for("a", "failure-mode");
    expect_not_ready("a", "failure-mode");
    EXPECT_NE(vtpmd_.text("a", "readiness.reason"), "");
    EXPECT_EQ(run(hypervisor, tpm::get_random(8)), tpm::kFailure);
  }
  EXPECT_EQ(vtpmd_.ctl({"stop", "a", "--force"}).status, 0);
  expect_whole("a");
}

TEST_F(VtpmdReadinessTest, IsStoreBusyWhileAnotherProcessHasIt) {
  const auto store = create_and_stop("a");
  {
    support::TempFolder elsewhere;
    Instance other(elsewhere.path(), {"--vmgs", store, "--key", store.parent_path() / "vm.key"});
    start_fails("a", "store-busy");
    EXPECT_EQ(other.stop(), 0) << other.log();
  }
  expect_whole("a");
}

TEST_F(VtpmdReadinessTest, IsStoreFailingWhenTheStoreCannotBeRead) {
  const auto store = create_and_stop("a");
  fs::rename(store, folder_ / "kept");
  fs::create_symlink(store, store);

  start_fails("a", "store-failing");

  fs::remove(store);
  fs::rename(folder_ / "kept", store);
  expect_whole("a");
}

TEST_F(VtpmdReadinessTest, IsNotSetUpForAVmWhoseHardwareIsNotThere) {
  if (fs::exists("/dev/sev-guest")) {
    GTEST_SKIP() << "this is a SEV-SNP guest";
  }
  EXPECT_EQ(vtpmd_.ctl({"create", "a", "--tee", "sev-snp"}).status, 3);

  expect_not_ready("a", "not-set-up");
  EXPECT_FALSE(fs::exists(vtpmd_.text("a", "store_path")));
}

TEST_F(VtpmdReadinessTest, IsDetachedWhileAGuestIsServedByAnInstanceOutOfReach) {
  (void)vtpmd_.create("a");
  const auto control_socket = vtpmd_.text("a", "control_socket");
  auto hypervisor = boot("a");
  vtpmd_.kill();
  ASSERT_TRUE(fs::remove(fs::path(control_socket).parent_path() / "door"));
  vtpmd_.start();

  expect_not_ready("a", "detached");
}

// With a simulated machine, and its machine.json at hand.
class VtpmdSealedReadinessTest : public testing::Test {
 protected:
  VtpmdSealedReadinessTest() {
    ::setenv("STRONGROOM_SIMULATED_MACHINE", (folder_ / "machine").c_str(), 1);
  }

  ~VtpmdSealedReadinessTest() override { ::unsetenv("STRONGROOM_SIMULATED_MACHINE"); }

  support::TempFolder folder_;
};

TEST_F(VtpmdSealedReadinessTest, IsSealedElsewhereForAnotherImage) {
  Vtpmd vtpmd(folder_.path(), VTPM_INSTANCE_SIM, certifying_simulated(folder_.path(), "sev-snp"));
  (void)vtpmd.create("a", {"--tee", "sev-snp"});
  EXPECT_THAT(vtpmd.ctl({"show", "a"}).out, HasSubstr("SIMULATED"));
  ASSERT_EQ(vtpmd.ctl({"stop", "a"}).status, 0);
  const auto file = folder_ / "machine" / "machine.json";
  std::ifstream in(file);
  auto machine = boost::json::parse(std::string(std::istreambuf_iterator<char>(in), {}));
  in.close();
  const auto before = boost::json::serialize(machine);
  machine.as_object()["measurement"] = std::string(96, '7');
  std::ofstream(file) << boost::json::serialize(machine);

  EXPECT_EQ(vtpmd.ctl({"start", "a"}).status, 0);
  const auto ready = vtpmd.ctl_json({"ready", "a", "--wait"}, 3);

  EXPECT_EQ(Vtpmd::text_in(ready, "name"), "sealed-elsewhere") << vtpmd.log();
  EXPECT_THAT(Vtpmd::text_in(ready, "reason"), HasSubstr("measurement"));
  std::ofstream(file) << before;
  EXPECT_EQ(vtpmd.ctl({"start", "a"}).status, 0);
  EXPECT_EQ(vtpmd.ctl({"ready", "a", "--wait"}).status, 0) << vtpmd.log();
}

}  // namespace
}  // namespace tests::integration
