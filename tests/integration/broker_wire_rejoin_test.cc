// SPDX-License-Identifier: Apache-2.0
#include "tests/integration/broker_wire.h"

// A VM that started while its key broker was away, and runs when it is there again.
namespace tests::integration {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

// Of the guest's attestation report (architecture.md, decision 9).
constexpr std::uint32_t kReport = 0x01400001;
constexpr std::uint32_t kExtendedClaims = 0x01400003;
constexpr std::uint32_t kAkCertificate = 0x01C101D0;

class BrokerRejoinTest : public BrokerWireTest {
 protected:
  // A VM that its broker has witnessed once, and that may start without it; its id.
  std::string create_witnessed(const std::string& name) {
    auto id = create_registered(name, "allow");
    auto hypervisor = boot(name);
    define_and_write(hypervisor, 1);
    power_off(name);
    return id;
  }

  // What the VM claims of itself, in the text that its report binds.
  static std::string claims(support::Hypervisor& hypervisor) {
    EXPECT_EQ(run(hypervisor, support::nv_read_by_owner(kReport, 4, 0)), support::kSuccess);
    const auto text =
        support::nv_data(send(hypervisor, support::nv_read_by_owner(kExtendedClaims, 1024, 0)));
    return {reinterpret_cast<const char*>(text.data()), text.size()};
  }

  // until_logged() waits until the newest line of the broker's log of a VM has that reason: for
  // the change that shows that the broker has answered once more.
  void until_logged(const std::string& name, const std::string& id, const std::string& reason) {
    Vtpmd::Watch watch(*vtpmd_, {name});
    while (text(last_line(id), "reason") != reason && !watch.next().empty()) {
    }
    EXPECT_EQ(text(last_line(id), "reason"), reason);
  }

  // until() waits for a change after which vtpmctl shows the words in a field of the VM.
  void until(const std::string& name, const std::string& field, const std::string& words) const {
    Vtpmd::Watch watch(*vtpmd_, {name});
    for (auto change = watch.next(); !change.empty(); change = watch.next()) {
      if (change.contains("vm") &&
          Vtpmd::text_in(change, "vm." + field).find(words) != std::string::npos) {
        return;
      }
    }
    ADD_FAILURE() << field << " of " << name << " did not say " << words << vtpmd_->log();
  }
};

TEST_F(BrokerRejoinTest, AVmIsWitnessedAndCertifiedOnceItsBrokerIsBack) {
  const auto id = create_witnessed("a");
  {
    // Its certificate fits no more, so that the next start wants another.
    auto hypervisor = boot("a");
    ASSERT_EQ(run(hypervisor, support::change_eps()), support::kSuccess);
  }
  power_off("a");
  const auto epoch = text(registration(id), "epoch");
  broker_down();
  auto hypervisor = boot("a");
  EXPECT_THAT(vtpmd_->text("a", "opened_by"), HasSubstr("without the key broker"));
  EXPECT_EQ(vtpmd_->readiness("a"), "ak-cert-missing");
  EXPECT_THAT(claims(hypervisor), AllOf(HasSubstr("\"offline\""), Not(HasSubstr("\"fresh\""))));
  ASSERT_EQ(run(hypervisor, support::nv_write(kIndex, data_of(2))), support::kSuccess);
  EXPECT_NE(run(hypervisor, support::nv_read_by_owner(kAkCertificate, 4, 0)), support::kSuccess);
  const int pid = vtpmd_->pid("a");

  broker_up();
  until("a", "opened_by", "has found it to be the newest state since");
  vtpmd_->wait_for("a", "ready");

  EXPECT_EQ(vtpmd_->pid("a"), pid) << "nobody has started it again";
  EXPECT_THAT(claims(hypervisor), AllOf(HasSubstr("\"fresh\""), Not(HasSubstr("\"offline\""))));
  EXPECT_EQ(run(hypervisor, support::nv_read_by_owner(kAkCertificate, 4, 0)), support::kSuccess);
  EXPECT_EQ(std::stoi(text(registration(id), "epoch")), std::stoi(epoch) + 1);
  EXPECT_EQ(text(last_line(id), "kind"), "certified");

  ASSERT_EQ(run(hypervisor, support::nv_write(kIndex, data_of(3))), support::kSuccess);
  power_off("a");
  EXPECT_EQ(text(last_line(id), "kind"), "closed");
  auto next = boot("a");
  EXPECT_EQ(nv(next), data_of(3));
  EXPECT_EQ(text(registration(id), "restores"), "0");
}

TEST_F(BrokerRejoinTest, AnOldCopyThatWasServedMeanwhileAnswersNoMore) {
  const auto id = create_witnessed("a");
  const auto old = copy("a", "old");
  {
    auto hypervisor = boot("a");
    ASSERT_EQ(run(hypervisor, support::nv_write(kIndex, data_of(2))), support::kSuccess);
  }
  power_off("a");
  const auto newest = copy("a", "newest");
  put(old, store("a"));
  broker_down();
  auto hypervisor = boot("a");
  EXPECT_EQ(nv(hypervisor), data_of(1)) << "nobody can know yet";

  broker_up();
  vtpmd_->wait_for("a", "stale-state");

  EXPECT_THAT(vtpmd_->text("a", "readiness.reason"),
              AllOf(HasSubstr("its TPM answers no more until the VM is stopped and started"),
                    HasSubstr("an older copy has taken its place")));
  EXPECT_THAT(vtpmd_->text("a", "readiness.remedy"), HasSubstr("Bring back the newest copy"));
  EXPECT_EQ(run(hypervisor, support::get_random(8)), support::kFailure);
  EXPECT_NE(hypervisor.init().value_or(0), 0U) << "nor by a reset of the guest";
  EXPECT_EQ(run(hypervisor, support::startup_clear()), support::kFailure);
  EXPECT_EQ(vtpmd_->readiness("a"), "stale-state");
  until_logged("a", id, "stale-state");

  power_off("a");
  expect("a", "stale-state", "an older copy has taken its place");
  put(newest, store("a"));
  auto honest = boot("a");
  EXPECT_EQ(nv(honest), data_of(2));
  EXPECT_EQ(text(registration(id), "restores"), "0");
}

TEST_F(BrokerRejoinTest, AVmThatWasDisabledMeanwhileAnswersNoMore) {
  const auto id = create_witnessed("a");
  (void)broker_->kbctl_json(tenant_, {"vm", "disable", id});
  broker_down();
  auto hypervisor = boot("a");
  EXPECT_EQ(nv(hypervisor), data_of(1));

  broker_up();
  vtpmd_->wait_for("a", "broker-refused");

  EXPECT_THAT(vtpmd_->text("a", "readiness.reason"), HasSubstr("vm-disabled"));
  EXPECT_EQ(run(hypervisor, support::get_random(8)), support::kFailure);
}

// A VM's first start said that keys of its TPM, which it had just made, were made again.
TEST_F(BrokerRejoinTest, OfAFirstStartTheLogSaysNothingOfKeysThatWereThere) {
  (void)create_registered("a");
  expect("a", "ready", "");
  EXPECT_THAT(vtpmd_->log(), Not(HasSubstr("made again")));
}

}  // namespace
}  // namespace tests::integration
