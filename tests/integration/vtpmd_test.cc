// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include "tests/integration/guest.h"

namespace tests::integration {
namespace {

namespace fs = std::filesystem;
namespace tpm = support;
using support::Hypervisor;
using support::TempFolder;
using testing::HasSubstr;

using VtpmdCallsTest = VtpmdTest;
using VtpmdLifeTest = VtpmdTest;
using VtpmdStateTest = VtpmdTest;

// Its calls.

TEST_F(VtpmdCallsTest, CreatesAVmWhoseTpmIsReady) {
  const auto vm = vtpmd_.create("a");

  EXPECT_EQ(Vtpmd::text_in(vm, "created"), "true");
  EXPECT_EQ(Vtpmd::text_in(vm, "readiness.name"), "ready");
  EXPECT_EQ(Vtpmd::text_in(vm, "protection"), "host");
  EXPECT_EQ(Vtpmd::text_in(vm, "lifetime"), "persistent");
  EXPECT_TRUE(fs::exists(Vtpmd::text_in(vm, "store_path")));
  EXPECT_TRUE(fs::is_socket(Vtpmd::text_in(vm, "control_socket")));
  EXPECT_EQ(Vtpmd::text_in(vm, "data_socket") + ".ctrl", Vtpmd::text_in(vm, "control_socket"));
  EXPECT_THAT(Vtpmd::text_in(vm, "qemu_options"),
              HasSubstr("path=" + Vtpmd::text_in(vm, "control_socket")));
}

TEST_F(VtpmdCallsTest, ShowsAndListsVmsForPeople) {
  const auto id = Vtpmd::text_in(vtpmd_.create("beta"), "vm_id");
  (void)vtpmd_.create("alpha", {"--lifetime", "ephemeral"});

  const auto shown = vtpmd_.ctl({"show", id});
  const auto listed = vtpmd_.ctl({"list"});

  EXPECT_THAT(shown.out, HasSubstr("beta  " + id));
  EXPECT_THAT(shown.out, HasSubstr("readiness   ready: "));
  EXPECT_THAT(shown.out, HasSubstr("vm.key"));
  EXPECT_THAT(vtpmd_.ctl({"show", "alpha"}).out,
              HasSubstr("nothing of this TPM is written anywhere"));
  EXPECT_LT(listed.out.find("alpha"), listed.out.find("beta"));
}

TEST_F(VtpmdCallsTest, GivesTheSameVmForTheSameParametersAndNamesTheOneThatDiffers) {
  const auto first = vtpmd_.create("a");
  const auto again = vtpmd_.create("a");
  const auto other = vtpmd_.ctl({"create", "a", "--lifetime", "ephemeral"});

  EXPECT_EQ(Vtpmd::text_in(again, "created"), "false");
  EXPECT_EQ(Vtpmd::text_in(again, "vm_id"), Vtpmd::text_in(first, "vm_id"));
  EXPECT_EQ(other.status, 5);
  EXPECT_THAT(other.err, HasSubstr("lifetime is 'persistent', and 'ephemeral' was asked for"));
  EXPECT_EQ(vtpmd_.readiness("a"), "ready");
}

TEST_F(VtpmdCallsTest, LeavesAStoppedVmStoppedWhenItIsCreatedAgainAndMakesATpmThatIsNotMadeYet) {
  (void)vtpmd_.create("a");
  ASSERT_EQ(vtpmd_.ctl({"stop", "a"}).status, 0);
  EXPECT_EQ(Vtpmd::text_in(vtpmd_.create("a"), "readiness.name"), "stopped");

  EXPECT_EQ(Vtpmd::text_in(vtpmd_.create("b", {"--leave-stopped"}), "readiness.name"), "stopped");
  EXPECT_EQ(Vtpmd::text_in(vtpmd_.create("b", {"--leave-stopped"}), "readiness.name"), "stopped");
  EXPECT_EQ(Vtpmd::text_in(vtpmd_.create("b"), "readiness.name"), "ready");
}

TEST_F(VtpmdCallsTest, KeepsADurabilityAndTellsWhenAnotherIsAskedFor) {
  EXPECT_EQ(Vtpmd::text_in(vtpmd_.create("a", {"--durability", "strict"}), "durability"), "strict");
  EXPECT_EQ(vtpmd_.ctl({"create", "a", "--durability", "strict"}).status, 0);

  const auto other = vtpmd_.ctl({"create", "a"});

  EXPECT_EQ(other.status, 5);
  EXPECT_THAT(other.err, HasSubstr("durability is 'strict', and 'one-barrier' was asked for"));
  vtpmd_.kill();
  vtpmd_.start();
  EXPECT_EQ(vtpmd_.text("a", "durability"), "strict");
  EXPECT_EQ(vtpmd_.ctl({"create", "b", "--lifetime", "ephemeral", "--durability", "strict"}).status,
            2);
}

TEST_F(VtpmdCallsTest, AnswersARepeatedCallWithTheSameKeyAsItDidBefore) {
  const std::vector<std::string> create = {"create", "a", "--idempotency-key", "k1"};
  EXPECT_EQ(Vtpmd::text_in(vtpmd_.ctl_json(create), "created"), "true");
  EXPECT_EQ(Vtpmd::text_in(vtpmd_.ctl_json(create), "created"), "true");
  ASSERT_EQ(vtpmd_.ctl({"stop", "a"}).status, 0);
  const std::vector<std::string> remove = {"delete", "a", "--yes", "--idempotency-key", "k2"};
  const auto deleted = vtpmd_.ctl_json(remove);

  // By a daemon that was started anew, too.
  vtpmd_.kill();
  vtpmd_.start();

  EXPECT_EQ(vtpmd_.ctl_json(remove), deleted);
  EXPECT_EQ(vtpmd_.ctl({"delete", "a", "--yes"}).status, 4);
  EXPECT_EQ(vtpmd_.ctl({"create", "b", "--idempotency-key", "k1"}).status, 5);
}

TEST_F(VtpmdCallsTest, RefusesWhatMakesNoSense) {
  EXPECT_EQ(vtpmd_.ctl({"create", "a b"}).status, 2);
  EXPECT_EQ(vtpmd_.ctl({"create", "../a"}).status, 2);
  EXPECT_EQ(vtpmd_.ctl({"create", "d\xc3\xbc"}).status, 2);
  EXPECT_EQ(vtpmd_.ctl({"create", std::string(64, 'a')}).status, 2);
  EXPECT_EQ(vtpmd_.ctl({"create", "a", "--protection", "hardware"}).status, 2);
  EXPECT_EQ(vtpmd_.ctl({"create", "a", "--tee", "sgx"}).status, 2);
  EXPECT_EQ(vtpmd_.ctl({"create"}).status, 2);
  EXPECT_EQ(vtpmd_.ctl({"show", "a"}).status, 4);
  EXPECT_EQ(vtpmd_.ctl({"ready", "a"}).status, 4);
  EXPECT_EQ(vtpmd_.ctl({"delete", "a"}).status, 5);
  EXPECT_TRUE(vtpmd_.ctl_json({"list"}).at("vms").as_array().empty());
}

TEST_F(VtpmdCallsTest, LogsNoNameThatIsNoVms) {
  for (const auto* method : {"StartVm", "StopVm", "DeleteVm"}) {
    const auto body =
        support::run_command({"/usr/bin/curl", "--silent", "--unix-socket", vtpmd_.socket(),
                              "--json", R"({"vm":"a forged line"})",
                              std::string("http://vtpmd/strongroom.host.v1.VmService/") + method});
    EXPECT_THAT(body.out, HasSubstr(R"("code":"not_found")"));
  }

  EXPECT_THAT(vtpmd_.log(), testing::Not(HasSubstr("forged")));
}

TEST_F(VtpmdCallsTest, StartsAndStopsTwiceAndDeletesOnce) {
  (void)vtpmd_.create("a", {"--leave-stopped"});
  EXPECT_EQ(vtpmd_.ctl({"start", "a"}).status, 0);
  EXPECT_EQ(vtpmd_.ctl({"start", "a"}).status, 0);
  EXPECT_EQ(vtpmd_.ctl({"ready", "a", "--wait"}).status, 0);
  const int pid = vtpmd_.pid("a");
  EXPECT_EQ(vtpmd_.ctl({"start", "a"}).status, 0);
  EXPECT_EQ(vtpmd_.pid("a"), pid);

  EXPECT_EQ(vtpmd_.ctl({"stop", "a"}).status, 0);
  EXPECT_EQ(vtpmd_.ctl({"stop", "a"}).status, 0);
  EXPECT_EQ(vtpmd_.ctl({"delete", "a", "--yes"}).status, 0);

  const auto again = vtpmd_.ctl({"delete", "a", "--yes"});
  EXPECT_EQ(again.status, 4);
  EXPECT_THAT(again.err, HasSubstr("there is no VM 'a'"));
}

TEST_F(VtpmdCallsTest, GivesAnInstanceNoPrivileges) {
  (void)vtpmd_.create("a");

  std::ifstream file("/proc/" + std::to_string(vtpmd_.pid("a")) + "/status");
  const std::string status(std::istreambuf_iterator<char>(file), {});

  EXPECT_THAT(status, HasSubstr("CapPrm:\t0000000000000000"));
  EXPECT_THAT(status, HasSubstr("NoNewPrivs:\t1"));
}

TEST_F(VtpmdCallsTest, SaysThatThereIsNoDaemon) {
  vtpmd_.kill();

  const auto ran = vtpmd_.ctl({"list"});

  EXPECT_EQ(ran.status, 8);
  EXPECT_THAT(ran.err, HasSubstr(vtpmd_.socket().string()));
}

TEST_F(VtpmdCallsTest, AnswersCurl) {
  const auto call = [&](const std::string& method, const std::string& body) {
    return support::run_command({"/usr/bin/curl", "--silent", "--unix-socket", vtpmd_.socket(),
                                 "--json", body,
                                 "http://vtpmd/strongroom.host.v1.VmService/" + method})
        .out;
  };
  EXPECT_THAT(call("CreateVm", R"({"name":"a","parameters":{"lifetime":"ephemeral"}})"),
              HasSubstr(R"("created":true)"));
  EXPECT_THAT(call("GetReadiness", R"({"vm":"a","wait":true})"), HasSubstr(R"("isReady":true)"));
  EXPECT_THAT(call("ListVms", "{}"), HasSubstr(R"("name":"a")"));
  EXPECT_THAT(call("StopVm", R"({"vm":"a"})"), HasSubstr(R"("name":"stopped")"));
  EXPECT_THAT(call("StartVm", R"({"vm":"a"})"), HasSubstr(R"("name":"provisioning")"));
  EXPECT_THAT(call("StopVm", R"({"vm":"a"})"), HasSubstr(R"("name":"stopped")"));
  EXPECT_THAT(call("DeleteVm", R"({"vm":"a"})"), HasSubstr("vmId"));
  EXPECT_THAT(call("GetVm", R"({"vm":"a"})"), HasSubstr(R"("code":"not_found")"));
}

TEST_F(VtpmdCallsTest, WatchesVmsComeChangeAndGo) {
  Vtpmd::Watch watch(vtpmd_, {});
  EXPECT_EQ(Vtpmd::text_in(watch.next(), "change"), "caught_up");

  (void)vtpmd_.create("a");
  EXPECT_EQ(vtpmd_.ctl({"stop", "a"}).status, 0);
  EXPECT_EQ(vtpmd_.ctl({"delete", "a", "--yes"}).status, 0);

  // Changes in between may be told together, but not the first and the last.
  std::vector<std::string> seen;
  for (auto change = watch.next(); change.contains("vm"); change = watch.next()) {
    seen.push_back(Vtpmd::text_in(change, "vm.readiness.name"));
  }
  ASSERT_FALSE(seen.empty());
  EXPECT_THAT(seen, testing::Contains("ready"));
  EXPECT_EQ(seen.back(), "stopped");
}

TEST_F(VtpmdCallsTest, ServesOnlyOneDaemonAFolder) {
  const auto second = support::run_command(vtpmd_.command_line());

  EXPECT_EQ(second.status, 8);
  EXPECT_THAT(second.err, HasSubstr("another vtpmd"));
  EXPECT_EQ(vtpmd_.ctl({"list"}).status, 0);
}

TEST(VtpmdStartTest, SaysWhatIsWrongWithItsConfiguration) {
  TempFolder folder;
  fs::create_directory(folder / "conf.d");
  std::ofstream(folder / "vtpmd.toml") << "[log]\nlevel = \"loud\"\n";
  std::ofstream(folder / "conf.d/1.toml") << "[service]\nsockt = \"/x\"\n";

  const auto ran = support::run_command({VTPMD, "--config", folder / "vtpmd.toml"});

  EXPECT_EQ(ran.status, 2);
  EXPECT_THAT(ran.err, HasSubstr("vtpmd.toml:2:9: level: "));
  EXPECT_THAT(ran.err, HasSubstr("1.toml:2:1: there is no key sockt in [service]"));
  const auto checked =
      support::run_command({VTPMCTL, "config", "check", "--config", folder / "vtpmd.toml"});
  EXPECT_EQ(checked.status, 3);
  EXPECT_THAT(checked.out, HasSubstr("vtpmd.toml:2:9: level: "));
}

TEST(VtpmdStartTest, SaysThatItsInstanceProgramIsNotThere) {
  TempFolder folder;

  const auto ran = support::run_command({VTPMD, "--state", folder / "state", "--runtime",
                                         folder / "run", "--instance", folder / "nothing"});

  EXPECT_EQ(ran.status, 4);
  EXPECT_THAT(ran.err, HasSubstr("nothing"));
}

TEST(VtpmdStartTest, SaysThatItsInstanceProgramDoesNotWork) {
  TempFolder folder;

  const auto ran = support::run_command({VTPMD, "--state", folder / "state", "--runtime",
                                         folder / "run", "--instance", "/bin/false"});

  EXPECT_EQ(ran.status, 8);
  EXPECT_THAT(ran.err, HasSubstr("/bin/false: the warmed parent ended with status 1"));
}

// The life of a VM.

TEST_F(VtpmdLifeTest, StartsAnInstanceForAHypervisorThatConnects) {
  (void)vtpmd_.create("a", {"--leave-stopped"});
  EXPECT_EQ(vtpmd_.readiness("a"), "stopped");
  EXPECT_FALSE(fs::exists(vtpmd_.text("a", "store_path")));

  auto hypervisor = boot("a");

  EXPECT_EQ(vtpmd_.readiness("a"), "ready");
  EXPECT_EQ(vtpmd_.text("a", "guest"), "true");
  EXPECT_GT(vtpmd_.pid("a"), 0);
}

TEST_F(VtpmdLifeTest, KeepsNvFromOneStartToTheNext) {
  (void)vtpmd_.create("a");
  {
    auto hypervisor = boot("a");
    define_and_write(hypervisor, 1);
    ASSERT_EQ(hypervisor.result(support::Control::kShutdown).value_or(99), 0U);
  }
  vtpmd_.wait_for("a", "stopped");

  auto hypervisor = boot("a");

  EXPECT_EQ(nv(hypervisor), data_of(1));
}

TEST_F(VtpmdLifeTest, DoesNotStopATpmUnderItsGuestUnlessForced) {
  (void)vtpmd_.create("a");
  auto hypervisor = boot("a");
  define_and_write(hypervisor, 1);

  const auto refused = vtpmd_.ctl({"stop", "a"});
  EXPECT_EQ(refused.status, 5);
  EXPECT_THAT(refused.err, HasSubstr("in use by a guest"));
  EXPECT_EQ(nv(hypervisor), data_of(1));

  EXPECT_EQ(vtpmd_.ctl({"stop", "a", "--force"}).status, 0);
  EXPECT_EQ(vtpmd_.readiness("a"), "stopped");
  EXPECT_FALSE(hypervisor.command(tpm::nv_read(kIndex, 8)));
  auto next = boot("a");
  EXPECT_EQ(nv(next), data_of(1));
}

TEST_F(VtpmdLifeTest, DoesNotDeleteAVmThatRuns) {
  (void)vtpmd_.create("a");

  EXPECT_EQ(vtpmd_.ctl({"delete", "a", "--yes"}).status, 5);
  EXPECT_EQ(vtpmd_.ctl({"stop", "a"}).status, 0);
  EXPECT_EQ(vtpmd_.ctl({"delete", "a", "--yes"}).status, 0);

  EXPECT_TRUE(fs::is_empty(vtpmd_.state() / "vms"));
  EXPECT_TRUE(fs::is_empty(vtpmd_.runtime() / "vms"));
}

TEST_F(VtpmdLifeTest, WritesNothingOfAnEphemeralTpmAndForgetsItWhenItStops) {
  const auto vm = vtpmd_.create("a", {"--lifetime", "ephemeral"});
  const auto vm_folder = vtpmd_.state() / "vms" / Vtpmd::text_in(vm, "vm_id");
  base::Bytes key;
  {
    auto hypervisor = boot("a");
    define_and_write(hypervisor, 1);
    key = send(hypervisor, tpm::create_primary_ecc(tpm::kOwner));
    EXPECT_EQ(support::response_code(key), tpm::kSuccess);
  }
  EXPECT_EQ(vtpmd_.ctl({"stop", "a"}).status, 0);

  std::vector<std::string> files;
  for (const auto& file : fs::directory_iterator(vm_folder)) {
    files.push_back(file.path().filename());
  }
  EXPECT_THAT(files, testing::ElementsAre("lease"));
  auto hypervisor = boot("a");
  EXPECT_NE(run(hypervisor, tpm::nv_read(kIndex, 8)), tpm::kSuccess);
  EXPECT_NE(send(hypervisor, tpm::create_primary_ecc(tpm::kOwner)), key);
}

// State that is not as it should be.

TEST_F(VtpmdStateTest, MissesAStoreThatIsGoneAndNeverMakesAnother) {
  const auto store = fs::path(Vtpmd::text_in(vtpmd_.create("a"), "store_path"));
  ASSERT_EQ(vtpmd_.ctl({"stop", "a"}).status, 0);
  fs::rename(store, folder_ / "kept");

  EXPECT_EQ(vtpmd_.readiness("a"), "state-missing");
  EXPECT_EQ(vtpmd_.ctl({"ready", "a", "--wait"}).status, 3);
  EXPECT_FALSE(Hypervisor::attach(vtpmd_.text("a", "control_socket")));
  vtpmd_.wait_for("a", "state-missing");
  EXPECT_FALSE(fs::exists(store));

  fs::rename(folder_ / "kept", store);
  auto hypervisor = boot("a");
  EXPECT_EQ(vtpmd_.readiness("a"), "ready");
}

TEST_F(VtpmdStateTest, NamesDamageAndAMissingKeyAndLeavesTheFilesAlone) {
  const auto store = fs::path(Vtpmd::text_in(vtpmd_.create("a"), "store_path"));
  const auto key = store.parent_path() / "vm.key";
  ASSERT_EQ(vtpmd_.ctl({"stop", "a"}).status, 0);

  fs::rename(key, folder_ / "key");
  EXPECT_EQ(vtpmd_.ctl({"start", "a"}).status, 0);
  EXPECT_EQ(Vtpmd::text_in(vtpmd_.ctl_json({"ready", "a", "--wait"}, 3), "name"), "key-missing");
  fs::rename(folder_ / "key", key);

  fs::copy_file(store, folder_ / "store");
  std::ofstream(store, std::ios::in | std::ios::out) << std::string(64 * 1024, 'x');
  EXPECT_EQ(vtpmd_.ctl({"start", "a"}).status, 0);
  EXPECT_EQ(Vtpmd::text_in(vtpmd_.ctl_json({"ready", "a", "--wait"}, 3), "name"), "state-damaged");
  std::ifstream damaged(store);
  EXPECT_EQ(damaged.get(), 'x');

  fs::copy_file(folder_ / "store", store, fs::copy_options::overwrite_existing);
  auto hypervisor = boot("a");
  EXPECT_EQ(vtpmd_.readiness("a"), "ready");
}

}  // namespace
}  // namespace tests::integration
