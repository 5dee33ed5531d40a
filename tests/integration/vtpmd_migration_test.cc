// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <array>
#include <csignal>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "tests/integration/guest.h"

// A VM that moves from one host to another with the TPM that its vtpmd gives it. The test is both
// hypervisors, and the person at both hosts.
namespace tests::integration {
namespace {

namespace fs = std::filesystem;
namespace tpm = support;
using support::Control;
using support::Hypervisor;
using testing::HasSubstr;

class VtpmdMigrationTest : public VtpmdTest {
 protected:
  // A guest here whose TPM holds a number.
  void SetUp() override {
    (void)vtpmd_.create("web1");
    ASSERT_EQ(vtpmd_.ctl({"show", "web1", "--launch-document", launch_document()}).status, 0);
    here_.emplace(boot("web1"));
    define_and_write(*here_, 7);
  }

  [[nodiscard]] std::string launch_document() const { return folder_ / "launch"; }

  [[nodiscard]] std::string ticket() const { return folder_ / "ticket"; }

  [[nodiscard]] std::string release() const { return folder_ / "release"; }

  [[nodiscard]] support::Ran receive() const {
    return there_.ctl(
        {"migrate", "receive", "web1", "--launch-document", launch_document(), "--out", ticket()});
  }

  [[nodiscard]] support::Ran send() const {
    return vtpmd_.ctl({"migrate", "send", "web1", "--ticket", ticket()});
  }

  // Both hosts agree, and the hypervisor there waits for its guest.
  void prepare() {
    const auto received = receive();
    ASSERT_EQ(received.status, 0) << received.err << there_.log();
    arrive();
    const auto sent = send();
    ASSERT_EQ(sent.status, 0) << sent.err;
  }

  void arrive() {
    arriving_.emplace(*Hypervisor::connect(there_.text("web1", "control_socket")));
    ASSERT_EQ(*arriving_->set_data_descriptor(), 0U);
  }

  void take(Hypervisor& from) {
    const auto permanent = from.get_state_blob(1);
    ASSERT_TRUE(permanent) << vtpmd_.log();
    permanent_ = *permanent;
    const auto transient = from.get_state_blob(2);
    ASSERT_TRUE(transient) << vtpmd_.log();
    transient_ = *transient;
    EXPECT_TRUE(is_refused(from, 3)) << "there is no third";
  }

  // The whole header says so, of which an error's four bytes are read.
  static bool is_refused(Hypervisor& from, std::uint32_t blob) {
    std::array<std::byte, 12> rest{};
    return !from.get_state_blob(blob) &&
           ::recv(from.control_descriptor(), rest.data(), rest.size(), MSG_WAITALL) == 12;
  }

  // By an instance that begins with the word.
  void have_plain_state_blobs() {
    ASSERT_EQ(vtpmd_.ctl({"state-blobs", "web1", "plain"}).status, 0) << vtpmd_.log();
    EXPECT_EQ(*here_->result(Control::kShutdown), 0U);
    here_.reset();
    vtpmd_.wait_for("web1", "stopped");
    here_.emplace(boot("web1"));
  }

  std::uint32_t put(Hypervisor& to) {
    const auto permanent = *to.set_state_blob(1, permanent_);
    const auto transient = permanent != 0 ? permanent : *to.set_state_blob(2, transient_);
    return transient != 0 ? transient : *to.init(1);
  }

  support::TempFolder other_folder_;
  Vtpmd there_{other_folder_.path()};
  std::optional<Hypervisor> here_;
  std::optional<Hypervisor> arriving_;
  base::Bytes permanent_;
  base::Bytes transient_;
};

TEST_F(VtpmdMigrationTest, MovesTheTpmOnceAndLeavesOneHostThatStartsIt) {
  prepare();
  EXPECT_EQ(there_.text("web1", "migration"), "awaited");
  EXPECT_EQ(vtpmd_.text("web1", "states_taken"), "0");

  take(*here_);
  vtpmd_.wait_for("web1", "moved-away");
  EXPECT_EQ(vtpmd_.text("web1", "migration"), "offered");
  ASSERT_EQ(put(*arriving_), 0U) << there_.log();

  there_.wait_for("web1", "ready");
  EXPECT_EQ(there_.text("web1", "migration"), "none");
  EXPECT_EQ(nv(*arriving_), data_of(7));
  EXPECT_EQ(run(*arriving_, tpm::nv_write(kIndex, data_of(8))), tpm::kSuccess);
  EXPECT_NE(run(*here_, tpm::nv_write(kIndex, data_of(9))), tpm::kSuccess) << "no commit here";
  EXPECT_EQ(there_.ctl({"migrate", "cancel", "web1"}).status, 4) << "there is none";

  // Its hypervisor here ends, and the next one does not get a TPM.
  EXPECT_EQ(*here_->result(Control::kShutdown), 0U);
  here_.reset();
  vtpmd_.wait_for("web1", "moved-away");
  EXPECT_NE(vtpmd_.ctl({"migrate", "cancel", "web1", "--release", ticket()}).status, 0);
  EXPECT_EQ(vtpmd_.ctl({"start", "web1"}).status, 0);
  EXPECT_EQ(vtpmd_.ctl({"stop", "web1"}).status, 0);
  EXPECT_EQ(vtpmd_.readiness("web1"), "moved-away");
  const auto deleted = vtpmd_.ctl({"delete", "web1", "--yes"});
  EXPECT_EQ(deleted.status, 0) << deleted.err;

  // There it is a VM like any other.
  EXPECT_EQ(*arriving_->result(Control::kShutdown), 0U);
  arriving_.reset();
  there_.wait_for("web1", "stopped");
  auto again = there_.attach("web1");
  EXPECT_EQ(run(again, tpm::startup_clear()), tpm::kSuccess) << there_.log();
  EXPECT_EQ(nv(again), data_of(8));
}

TEST_F(VtpmdMigrationTest, GivesTheTpmBackIfItHasNotArrived) {
  prepare();
  take(*here_);
  vtpmd_.wait_for("web1", "moved-away");
  const auto unreleased = vtpmd_.ctl({"migrate", "cancel", "web1"});
  EXPECT_NE(unreleased.status, 0) << "only the other host knows";
  EXPECT_THAT(unreleased.err, HasSubstr("--release"));
  // The host there dies with its hypervisor; what it has promised it keeps.
  ASSERT_EQ(*arriving_->set_state_blob(1, permanent_), 0U);
  ASSERT_EQ(::kill(there_.pid("web1"), SIGKILL), 0);
  arriving_.reset();
  there_.kill();
  there_.start();
  const auto deleted = there_.ctl({"delete", "web1", "--yes"});
  EXPECT_NE(deleted.status, 0) << "the promise with it";
  EXPECT_THAT(deleted.err, HasSubstr("migrate cancel"));

  const auto cancelled = there_.ctl({"migrate", "cancel", "web1", "--out", release()});
  ASSERT_EQ(cancelled.status, 0) << cancelled.err << there_.log();
  // Whoever did not hear it asks again.
  fs::remove(release());
  EXPECT_EQ(there_.ctl({"migrate", "cancel", "web1"}).status, 2) << "it is a secret";
  ASSERT_EQ(there_.ctl({"migrate", "cancel", "web1", "--out", release()}).status, 0);
  const auto taken = vtpmd_.ctl({"migrate", "cancel", "web1", "--release", release()});
  ASSERT_EQ(taken.status, 0) << taken.err << vtpmd_.log();

  vtpmd_.wait_for("web1", "ready");
  EXPECT_EQ(vtpmd_.text("web1", "migration"), "none");
  EXPECT_EQ(run(*here_, tpm::nv_write(kIndex, data_of(8))), tpm::kSuccess) << vtpmd_.log();
  // The next attempt, with a ticket of its own.
  prepare();
  take(*here_);
  ASSERT_EQ(put(*arriving_), 0U) << there_.log();
  EXPECT_EQ(nv(*arriving_), data_of(8));
}

TEST_F(VtpmdMigrationTest, GivesTheTpmBackToAHostWhoseInstanceHasEnded) {
  prepare();
  take(*here_);
  EXPECT_EQ(*here_->result(Control::kShutdown), 0U);
  here_.reset();
  vtpmd_.wait_for("web1", "moved-away");
  ASSERT_EQ(there_.ctl({"migrate", "cancel", "web1", "--out", release()}).status, 0);

  ASSERT_EQ(vtpmd_.ctl({"migrate", "cancel", "web1", "--release", release()}).status, 0);

  auto again = boot("web1");
  EXPECT_EQ(nv(again), data_of(7));
}

// Success was said before anybody had looked into the store.
TEST_F(VtpmdMigrationTest, SaysThatTheTpmIsBackWhereItsStoreHasItAndNowhereElse) {
  prepare();
  ASSERT_EQ(there_.ctl({"migrate", "cancel", "web1", "--out", release()}).status, 0);
  arriving_.reset();
  const auto of_another = release();
  fs::rename(of_another, folder_ / "another");
  prepare();
  take(*here_);
  EXPECT_EQ(*here_->result(Control::kShutdown), 0U);
  here_.reset();
  vtpmd_.wait_for("web1", "moved-away");

  const auto refused = vtpmd_.ctl({"migrate", "cancel", "web1", "--release", folder_ / "another"});

  EXPECT_EQ(refused.status, 5) << refused.err;
  EXPECT_EQ(refused.out, "");
  EXPECT_THAT(refused.err, HasSubstr("offered to another host"));
  EXPECT_EQ(vtpmd_.readiness("web1"), "moved-away");
  ASSERT_EQ(there_.ctl({"migrate", "cancel", "web1", "--out", release()}).status, 0);
  const auto taken = vtpmd_.ctl({"migrate", "cancel", "web1", "--release", release()});
  ASSERT_EQ(taken.status, 0) << taken.err << vtpmd_.log();
  EXPECT_EQ(taken.out, "web1: its TPM is this host's\n");
  EXPECT_EQ(vtpmd_.readiness("web1"), "stopped");
}

// It was lost when the host made its next ticket, or deleted the VM, and neither host started the
// TPM.
TEST_F(VtpmdMigrationTest, GivesBackWhatIsOfferedToATicketThatWasReleasedLongBefore) {
  prepare();
  ASSERT_EQ(there_.ctl({"migrate", "cancel", "web1", "--out", folder_ / "first"}).status, 0);
  arriving_.reset();
  const auto deleted = there_.ctl({"delete", "web1", "--yes"});
  ASSERT_EQ(deleted.status, 0) << deleted.err;
  ASSERT_EQ(receive().status, 0) << there_.log();
  take(*here_);
  vtpmd_.wait_for("web1", "moved-away");

  const auto cancelled = there_.ctl({"migrate", "cancel", "web1", "--out", release()});

  ASSERT_EQ(cancelled.status, 0) << cancelled.err;
  const auto taken = vtpmd_.ctl({"migrate", "cancel", "web1", "--release", release()});
  EXPECT_EQ(taken.status, 0) << taken.err << vtpmd_.log();
  vtpmd_.wait_for("web1", "ready");
  EXPECT_EQ(run(*here_, tpm::nv_write(kIndex, data_of(8))), tpm::kSuccess);
}

// It was said to have its TPM, which it never had.
TEST_F(VtpmdMigrationTest, ForgetsATicketThatWasNeverWhole) {
  ASSERT_EQ(receive().status, 0) << there_.log();
  ASSERT_EQ(::kill(there_.pid("web1"), SIGKILL), 0);
  there_.wait_for("web1", "crashed");
  const auto vm = there_.state() / "vms" / there_.text("web1", "vm_id");
  fs::resize_file(vm / "ticket.claim", 100);
  fs::remove(vm / "ticket");

  const auto cancelled = there_.ctl({"migrate", "cancel", "web1", "--out", release()});

  EXPECT_EQ(cancelled.status, 0) << cancelled.err;
  EXPECT_THAT(cancelled.out, HasSubstr("the ticket is forgotten"));
  EXPECT_FALSE(fs::exists(release()));
  EXPECT_FALSE(fs::exists(vm / "ticket.claim"));
}

// A TPM that arrived while it was cancelled was ended.
TEST_F(VtpmdMigrationTest, EndsNoTpmThatArrivesWhileItIsCancelled) {
  prepare();
  take(*here_);
  ASSERT_EQ(*arriving_->set_state_blob(1, permanent_), 0U);
  ASSERT_EQ(*arriving_->set_state_blob(2, transient_), 0U);
  const int instance = there_.pid("web1");
  ASSERT_EQ(::kill(instance, SIGSTOP), 0);
  // INIT, with the state that was put in.
  constexpr std::array<std::uint8_t, 8> kInit = {0, 0, 0, 2, 0, 0, 0, 1};
  ASSERT_EQ(::send(arriving_->control_descriptor(), kInit.data(), kInit.size(), 0), 8);
  support::Ran cancelled;
  std::thread person([&] {
    cancelled = there_.ctl({"migrate", "cancel", "web1", "--out", release()});
  });
  while (there_.log().find("CancelMigration of 'web1'") == std::string::npos) {
    std::this_thread::yield();
  }
  // vtpmd answers this after it has told the instance to end.
  EXPECT_EQ(there_.ctl({"list"}).status, 0);
  ASSERT_EQ(::kill(instance, SIGCONT), 0);
  person.join();

  std::array<std::byte, 4> result{};
  const auto got =
      ::recv(arriving_->control_descriptor(), result.data(), result.size(), MSG_WAITALL);
  if (cancelled.status == 0) {
    // The end came first, and the TPM is the other's.
    EXPECT_EQ(vtpmd_.ctl({"migrate", "cancel", "web1", "--release", release()}).status, 0);
    return;
  }
  EXPECT_THAT(cancelled.err, HasSubstr("it goes on here"));
  EXPECT_EQ(got, 4);
  EXPECT_EQ(result, (std::array<std::byte, 4>{}));
  EXPECT_EQ(nv(*arriving_), data_of(7)) << there_.log();
}

TEST_F(VtpmdMigrationTest, GivesNothingBackOnceItHasArrived) {
  prepare();
  take(*here_);
  ASSERT_EQ(put(*arriving_), 0U) << there_.log();

  EXPECT_NE(there_.ctl({"migrate", "cancel", "web1", "--out", release()}).status, 0);

  EXPECT_FALSE(fs::exists(release()));
  EXPECT_EQ(nv(*arriving_), data_of(7)) << "its guest has not noticed";
}

// The moment between what the other host has stored and what it has said of it.
TEST_F(VtpmdMigrationTest, GivesNothingBackThatArrivedBeforeTheInstanceDied) {
  prepare();
  const auto claim = there_.state() / "vms" / there_.text("web1", "vm_id") / "ticket.claim";
  fs::copy_file(claim, folder_ / "claim");
  take(*here_);
  ASSERT_EQ(put(*arriving_), 0U) << there_.log();
  ASSERT_EQ(::kill(there_.pid("web1"), SIGKILL), 0);
  there_.wait_for("web1", "crashed");
  fs::copy_file(folder_ / "claim", claim);

  const auto cancelled = there_.ctl({"migrate", "cancel", "web1", "--out", release()});

  EXPECT_NE(cancelled.status, 0);
  EXPECT_THAT(cancelled.err, HasSubstr("has arrived"));
  EXPECT_FALSE(fs::exists(release()));
}

TEST_F(VtpmdMigrationTest, IsNotAwaitedWhereTheTpmIs) {
  const auto running = vtpmd_.ctl({"migrate", "receive", "web1", "--out", ticket()});
  EXPECT_NE(running.status, 0);
  EXPECT_THAT(running.err, HasSubstr("stop it"));
  EXPECT_EQ(*here_->result(Control::kShutdown), 0U);
  here_.reset();
  vtpmd_.wait_for("web1", "stopped");

  const auto stopped = vtpmd_.ctl({"migrate", "receive", "web1", "--out", ticket()});

  EXPECT_NE(stopped.status, 0);
  EXPECT_THAT(stopped.err, HasSubstr("has its TPM"));
  auto again = boot("web1");
  EXPECT_EQ(nv(again), data_of(7));
}

TEST_F(VtpmdMigrationTest, LeavesInTheClearOnlyOnceThatWasSaid) {
  EXPECT_TRUE(is_refused(*here_, 1));
  EXPECT_EQ(run(*here_, tpm::nv_write(kIndex, data_of(8))), tpm::kSuccess) << "it stays";
  EXPECT_EQ(vtpmd_.text("web1", "state_blobs"), "sealed");
  EXPECT_EQ(vtpmd_.ctl({"state-blobs", "web1", "open"}).status, 2);

  ASSERT_EQ(vtpmd_.ctl({"state-blobs", "web1", "plain"}).status, 0) << vtpmd_.log();
  EXPECT_TRUE(is_refused(*here_, 1)) << "its instance was started before";
  have_plain_state_blobs();

  EXPECT_TRUE(here_->get_state_blob(1));
}

TEST_F(VtpmdMigrationTest, ForgetsATicketThatNothingWasOfferedTo) {
  prepare();

  const auto forgotten = vtpmd_.ctl({"migrate", "cancel", "web1"});
  EXPECT_EQ(forgotten.status, 0) << forgotten.err;
  EXPECT_THAT(forgotten.out, HasSubstr("the ticket is forgotten"));

  EXPECT_EQ(there_.ctl({"migrate", "cancel", "web1", "--out", release()}).status, 0);
  EXPECT_EQ(run(*here_, tpm::nv_write(kIndex, data_of(8))), tpm::kSuccess);
}

TEST_F(VtpmdMigrationTest, MovesATpmWhoseInstanceWasReplacedHereAndThere) {
  ASSERT_EQ(vtpmd_.ctl({"replace", "web1"}).status, 0) << vtpmd_.log();
  prepare();
  EXPECT_NE(there_.ctl({"replace", "web1"}).status, 0) << "nothing has arrived";
  take(*here_);
  ASSERT_EQ(put(*arriving_), 0U) << there_.log();

  const auto replaced = there_.ctl({"replace", "web1"});

  ASSERT_EQ(replaced.status, 0) << replaced.err << there_.log();
  EXPECT_EQ(run(*arriving_, tpm::nv_write(kIndex, data_of(8))), tpm::kSuccess);
  EXPECT_EQ(nv(*arriving_), data_of(8));
}

// What a snapshot holds can be put in as often as somebody likes, and everybody can see that.
TEST_F(VtpmdMigrationTest, CountsTheStatesThatASnapshotTakesAndPutsIn) {
  have_plain_state_blobs();
  for (int snapshot = 0; snapshot < 2; ++snapshot) {
    take(*here_);
  }
  EXPECT_EQ(vtpmd_.text("web1", "states_taken"), "2");
  ASSERT_EQ(run(*here_, tpm::nv_write(kIndex, data_of(9))), tpm::kSuccess);

  ASSERT_EQ(*here_->result(Control::kStop), 0U);
  ASSERT_EQ(put(*here_), 0U) << vtpmd_.log();

  EXPECT_EQ(nv(*here_), data_of(7)) << "as it was then";
  EXPECT_EQ(vtpmd_.text("web1", "states_put_in"), "1");
  EXPECT_THAT(vtpmd_.ctl({"show", "web1"}).out,
              HasSubstr("taken the TPM's state 2 times and put one in 1 times"));
}

}  // namespace
}  // namespace tests::integration
