// SPDX-License-Identifier: Apache-2.0
#include <fstream>

#include "tests/integration/broker_wire.h"

// What a host can do to the state of a VM whose key a broker has: it has the files, and may start
// the VM as often and with whatever launch document it likes.
namespace tests::integration {
namespace {

namespace fs = std::filesystem;
using testing::AnyOf;
using testing::HasSubstr;

class BrokerStateTest : public BrokerWireTest {
 protected:
  // A VM of ours on another host, which knows nothing of its past.
  std::unique_ptr<Vtpmd> other_host_with(const fs::path& document, const std::string& id,
                                         const std::string& name) {
    auto other = host("other-" + name, road());
    const auto made =
        other->ctl({"create", name, "--id", id, "--launch-document", document, "--leave-stopped"});
    EXPECT_EQ(made.status, 0) << made.err << other->log();
    return other;
  }

  // A launch document that differs from the registered one in these options.
  fs::path document_with(const std::string& id, const fs::path& root,
                         const std::string& protection) const {
    auto out = folder_ / "swapped.launch";
    fs::remove(out);
    const auto made =
        support::run_command({KBCTL, "launch-document", "make", id, "--tee", "sev-snp", "--tenant",
                              kTenant, "--broker-root", root, "--protection", protection,
                              "--anchor", protection == "broker" ? "boot" : "none", "--out", out});
    EXPECT_EQ(made.status, 0) << made.err;
    return out;
  }
};

TEST_F(BrokerStateTest, AnOldFileIsStaleAfterTheBootAnchorAndAfterTheClosingOne) {
  const auto id = create_registered("a");
  expect("a", "ready", "");
  const auto first = copy("a", "first");
  {
    auto hypervisor = boot("a");
    define_and_write(hypervisor, 1);
  }
  power_off("a");
  const auto closed = copy("a", "closed");

  // After the anchor of an orderly end.
  put(first, store("a"));
  expect("a", "stale-state", "an older copy has taken its place");
  put(closed, store("a"));
  expect("a", "ready", "");

  // After the anchor of a boot.
  crash("a");
  const auto newest = copy("a", "newest");
  put(closed, store("a"));
  expect("a", "stale-state", "an older copy has taken its place");

  put(newest, store("a"));
  auto hypervisor = boot("a");
  EXPECT_EQ(nv(hypervisor), data_of(1));
  EXPECT_EQ(text(registration(id), "restores"), "0");
}

TEST_F(BrokerStateTest, AnOldFileComesBackOnceIfTheTenantAllowsIt) {
  const auto id = create_registered("a");
  {
    auto hypervisor = boot("a");
    define_and_write(hypervisor, 1);
  }
  power_off("a");
  const auto old = copy("a", "old");
  const auto receipt = fs::path(store("a")).parent_path() / "receipt";
  ASSERT_TRUE(fs::exists(receipt));
  fs::copy_file(receipt, folder_ / "old.receipt");
  {
    auto hypervisor = boot("a");
    ASSERT_EQ(run(hypervisor, support::nv_write(kIndex, data_of(2))), support::kSuccess);
  }
  power_off("a");
  put(old, store("a"));
  expect("a", "stale-state", "");

  (void)broker_->kbctl_json(tenant_, {"vm", "restore", id, "--receipt", folder_ / "old.receipt"});
  {
    auto hypervisor = boot("a");
    EXPECT_EQ(nv(hypervisor), data_of(1));
  }
  EXPECT_EQ(text(registration(id), "restores"), "1");
  power_off("a");
  put(old, store("a"));
  expect("a", "stale-state", "");
}

TEST_F(BrokerStateTest, OfTwoCopiesThatRunTheOneThatStartedLastOwnsTheVm) {
  const auto id = create_registered("a");
  auto mine = boot("a");
  define_and_write(mine, 1);
  const auto taken = copy("a", "taken");

  const auto other = other_host_with(document("a"), id, "a");
  put(taken, other->text("a", "store_path"));
  expect_on(*other, "a", "ready", "");
  EXPECT_EQ(text(registration(id), "epoch"), "2");

  // The first goes on, and nobody takes its end for the VM's.
  ASSERT_EQ(run(mine, support::nv_write(kIndex, data_of(2))), support::kSuccess);
  power_off("a");
  const auto line = last_line(id);
  EXPECT_EQ(text(line, "kind"), "refused");
  EXPECT_EQ(text(line, "reason"), "anchor-fenced");
  EXPECT_THAT(word(start("a")), AnyOf("forked-state", "stale-state"));
}

TEST_F(BrokerStateTest, AnAbsentOrBlankStoreIsMissingWhateverTheHostSays) {
  const auto id = create_registered("a");
  expect("a", "ready", "");
  power_off("a");
  {
    const auto other = other_host_with(document("a"), id, "a");
    expect_on(*other, "a", "state-missing", "the key broker has noted a state of this VM");
    const fs::path place = other->text("a", "store_path");
    fs::create_directories(place.parent_path());
    std::ofstream(place, std::ios::binary) << std::string(4 << 20, '\0');
    expect_on(*other, "a", "state-missing", "the key broker has noted a state of this VM");
  }
  expect("a", "ready", "");
}

TEST_F(BrokerStateTest, AStoreThatTheHostCanReadAndMakeIsNotTaken) {
  const auto id = create_registered("a");
  expect("a", "ready", "");
  power_off("a");
  const auto good = copy("a", "good");
  {
    const auto plain = host("plain", road());
    const auto made = plain->ctl({"create", "p", "--id", id, "--protection", "none"});
    EXPECT_EQ(made.status, 0) << made.err;
    EXPECT_EQ(plain->ctl({"stop", "p"}).status, 0);
    put(plain->text("p", "store_path"), store("a"));
  }
  expect("a", "state-foreign", "");
  put(good, store("a"));
  expect("a", "ready", "");
}

// The attacker's own broker has made a key for that VM id, and so a whole store.
TEST_F(BrokerStateTest, AStoreUnderAnotherBrokersKeyDoesNotOpen) {
  const auto id = create_registered("a");
  expect("a", "ready", "");
  power_off("a");
  const auto good = copy("a", "good");

  const auto evil = impostor(free_port());
  evil->start();
  (void)evil->kbctl_json(operator_, {"tenant", "create", "acme", "--id", kTenant});
  std::ofstream(folder_ / "evil.pem") << evil->kbctl(operator_, {"status", "--roots"}).out;
  const auto swapped = document_with(id, folder_ / "evil.pem", "broker");
  const auto policy =
      text(evil->kbctl_json(tenant_, {"policy", "put", folder_ / "release.json"}), "digest");
  (void)evil->kbctl_json(
      tenant_, {"vm", "register", swapped, "--policy", policy, "--root-class", "simulated"});
  {
    auto evil_road = road();
    evil_road.endpoint = evil->url();
    const auto elsewhere = host("elsewhere", evil_road);
    ASSERT_EQ(
        elsewhere->ctl({"create", "a", "--id", id, "--launch-document", swapped, "--leave-stopped"})
            .status,
        0);
    expect_on(*elsewhere, "a", "ready", "");
    EXPECT_EQ(elsewhere->ctl({"stop", "a"}).status, 0);
    put(elsewhere->text("a", "store_path"), store("a"));
  }
  const auto refused = start("a");
  EXPECT_THAT(word(refused), AnyOf("state-damaged", "state-foreign"))
      << boost::json::serialize(refused);
  put(good, store("a"));
  expect("a", "ready", "");
}

TEST_F(BrokerStateTest, AnotherLaunchDocumentOpensNothing) {
  const auto id = create_registered("a");
  expect("a", "ready", "");
  power_off("a");
  const auto stolen = copy("a", "stolen");
  const auto start_with = [&](const fs::path& swapped, const std::string& name,
                              const std::string& as) {
    const auto other = other_host_with(swapped, as, name);
    put(stolen, other->text(name, "store_path"));
    return start_on(*other, name);
  };

  // One field is another: what the hardware reports is another digest.
  const auto offline = folder_ / "offline.launch";
  ASSERT_EQ(support::run_command({KBCTL, "launch-document", "make", id, "--tee", "sev-snp",
                                  "--tenant", kTenant, "--broker-root", root_, "--offline", "allow",
                                  "--out", offline})
                .status,
            0);
  const auto other_field = start_with(offline, "field", id);
  EXPECT_EQ(word(other_field), "broker-refused");
  EXPECT_THAT(text(other_field, "reason"), HasSubstr("launch-document-other"));
  EXPECT_EQ(text(last_line(id), "reason"), "launch-document-other");

  // Another VM's id.
  const std::string stranger = "0b5c0b5c-0000-4000-8000-00000000000b";
  const auto other_id = start_with(document_with(stranger, root_, "broker"), "id", stranger);
  EXPECT_EQ(word(other_id), "broker-refused");
  EXPECT_THAT(text(other_id, "reason"), HasSubstr("vm-unregistered"));

  // No protection at all: the store stays shut.
  EXPECT_EQ(word(start_with(document_with(id, root_, "none"), "mode", id)), "state-foreign");
  expect("a", "ready", "");
}

}  // namespace
}  // namespace tests::integration
