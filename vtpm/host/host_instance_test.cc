// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>

#include "tests/support/host_case.h"
#include "vtpm/host/database.h"
#include "vtpm/host/vm_view.h"

// The instances of a Host's VMs: how they begin, serve and end.
namespace vtpm::host {
namespace {

namespace api = strongroom::host::v1;
namespace instance = strongroom::instance::v1;
using base::ErrorCode;
using keybroker::protocol::Readiness;

using HostInstanceTest = HostCase;

TEST_F(HostInstanceTest, StartsAnInstanceForAConnectionThatWaits) {
  const auto& vm = create_vm("a");

  host_->connection_waits(vm.id());

  EXPECT_EQ(vm.phase, Phase::kStarting);
  EXPECT_EQ(vm.readiness, Readiness::kProvisioning);
  ASSERT_EQ(instances_.setups.size(), 1U);
  EXPECT_EQ(instances_.setups[0].store_path(), folder_.store(vm.id()).string());
  EXPECT_EQ(instances_.setups[0].key_path(), folder_.key(vm.id()).string());
}

TEST_F(HostInstanceTest, TellsAnInstanceOfAnEphemeralVmOfNoFileAtAll) {
  const auto& vm = create_vm("a", "ephemeral");

  serve(vm);

  EXPECT_EQ(instances_.setups[0].store_path(), "");
  EXPECT_EQ(instances_.setups[0].key_path(), "");
  EXPECT_FALSE(vm.record.has_state);
}

TEST_F(HostInstanceTest, StartsOneInstanceAtATime) {
  const auto& vm = create_vm("a");
  ASSERT_TRUE(host_->start(vm.id()));

  EXPECT_TRUE(host_->start(vm.id()));
  host_->connection_waits(vm.id());

  EXPECT_EQ(instances_.setups.size(), 1U);
}

// The order that keeps a TPM from being made anew: first the registry knows, then a guest may come.
TEST_F(HostInstanceTest, NotesThatAVmHasStateBeforeItLetsAGuestIn) {
  const auto& vm = create_vm("a");
  ASSERT_TRUE(host_->start(vm.id()));
  EXPECT_TRUE(instances_.setups[0].may_create());
  EXPECT_TRUE(instances_.sent.empty());

  host_->opened(vm.id(), {});

  EXPECT_EQ(instances_.sent, std::vector{instance::ToInstance::kServe});
  EXPECT_TRUE(registry_->all()->front().has_state);
}

TEST_F(HostInstanceTest, IsNotReadyBeforeItsInstanceSaysSo) {
  const auto& vm = create_vm("a");
  ASSERT_TRUE(host_->start(vm.id()));
  host_->opened(vm.id(), {});
  EXPECT_EQ(vm.phase, Phase::kServing);
  EXPECT_EQ(vm.readiness, Readiness::kProvisioning);
  say(vm, "ak-missing");
  EXPECT_EQ(vm.readiness, Readiness::kAkMissing);
}

// An instance that opened its store before its parent was heard of had process 0 for a while, and
// somebody killed that.
TEST_F(HostInstanceTest, KnowsTheProcessOfAnInstanceWhoseParentIsLateToTell) {
  const auto& vm = create_vm("a");
  ASSERT_TRUE(host_->start(vm.id()));
  ASSERT_TRUE(sign_lease(instances_.leases[vm.id()]));

  host_->opened(vm.id(), {});

  EXPECT_EQ(vm.pid, getpid());
}

TEST_F(HostInstanceTest, NeverAllowsAStoreToBeMadeTwice) {
  serve(create_vm("a"));
  instances_.leases.clear();
  instances_.sent.clear();
  reopen();
  const auto& vm = **host_->find("a");

  ASSERT_TRUE(host_->start(vm.id()));

  EXPECT_FALSE(instances_.setups.back().may_create());
  host_->opened(vm.id(), {});
  EXPECT_EQ(vm.phase, Phase::kServing);
  EXPECT_TRUE(instances_.sent.empty()) << "it waits for no permission";
}

TEST_F(HostInstanceTest, KillsAnInstanceWhoseStateCannotBeNoted) {
  const auto& vm = create_vm("a");
  ASSERT_TRUE(host_->start(vm.id()));
  ASSERT_TRUE(registry_->erase(vm.id()));

  host_->opened(vm.id(), {});
  EXPECT_TRUE(instances_.sent.empty());
  EXPECT_TRUE(instances_.killed.contains(vm.id()));
  end(vm);

  EXPECT_EQ(vm.readiness, Readiness::kStoreFailing);
}

TEST_F(HostInstanceTest, SaysThatStateIsMissingWhenTheStoreOfAStoppedVmIsGone) {
  const auto& vm = create_vm("a");
  EXPECT_EQ(host_->readiness(vm), Readiness::kStopped);
  serve(vm);
  std::ofstream(folder_.store(vm.id())) << "x";
  say_last(vm, "stopped");
  end(vm);
  EXPECT_EQ(host_->readiness(vm), Readiness::kStopped);

  std::filesystem::remove(folder_.store(vm.id()));

  EXPECT_EQ(host_->readiness(vm), Readiness::kStateMissing);
}

TEST_F(HostInstanceTest, ShowsWhatTheInstanceSaysOfItself) {
  const auto& vm = create_vm("a");
  serve(vm);

  say(vm, "locked-out", true, "three wrong ones");

  EXPECT_EQ(vm.readiness, Readiness::kLockedOut);
  EXPECT_EQ(vm.reason, "three wrong ones");
  EXPECT_TRUE(vm.guest);
  say(vm, "ready", true);
  EXPECT_EQ(vm.readiness, Readiness::kReady);
  EXPECT_EQ(vm.reason, "");
}

TEST_F(HostInstanceTest, KeepsAReadinessThatItDoesNotKnowOutOfTheRecord) {
  const auto& vm = create_vm("a");
  serve(vm);

  say(vm, "splendid", true);

  EXPECT_EQ(vm.readiness, Readiness::kReady);
}

TEST_F(HostInstanceTest, KeepsTheReasonWhyAnInstanceDidNotStartAndHangsUpOnWhoeverWaited) {
  const auto& vm = create_vm("a");
  host_->connection_waits(vm.id());
  host_->forked(vm.id(), 100);

  say_last(vm, "sealed-elsewhere", "measurement differs");
  end(vm);

  EXPECT_EQ(vm.phase, Phase::kStopped);
  EXPECT_EQ(vm.readiness, Readiness::kSealedElsewhere);
  EXPECT_EQ(vm.reason, "measurement differs");
  EXPECT_EQ(instances_.refused[vm.id()], 1);
  EXPECT_TRUE(instances_.watched.contains(vm.id()));
}

TEST_F(HostInstanceTest, CallsAnInstanceThatDiesWhileItStartsCrashed) {
  const auto& vm = create_vm("a");
  host_->connection_waits(vm.id());
  host_->forked(vm.id(), 100);
  say(vm, "provisioning");

  end(vm);
  host_->process_ended(100, "killed by signal 11");

  EXPECT_EQ(vm.readiness, Readiness::kCrashed);
  EXPECT_NE(vm.reason.find("signal 11"), std::string::npos);
  EXPECT_EQ(instances_.refused[vm.id()], 1);
}

// The word of the parent may come before the end of the link.
TEST_F(HostInstanceTest, CallsItCrashedAsWellWhenTheProcessIsSeenToEndFirst) {
  const auto& vm = create_vm("a");
  ASSERT_TRUE(host_->start(vm.id()));
  host_->forked(vm.id(), 100);

  host_->process_ended(100, "killed by signal 11");
  end(vm);

  EXPECT_EQ(instances_.setups.size(), 1U) << "it was forked, so nothing was lost";
  EXPECT_EQ(vm.phase, Phase::kStopped);
  EXPECT_EQ(vm.readiness, Readiness::kCrashed);
  EXPECT_EQ(vm.reason, "the instance died: killed by signal 11");

  // The next launch knows nothing of that.
  ASSERT_TRUE(host_->start(vm.id()));
  end(vm);
  EXPECT_EQ(instances_.setups.size(), 3U);
  host_->forked(vm.id(), 101);
  end(vm);
  EXPECT_EQ(vm.reason, "the instance died");
}

TEST_F(HostInstanceTest, StartsADeadInstanceAgainForTheNextConnectionOnly) {
  const auto& vm = create_vm("a");
  serve(vm);
  say(vm, "ready", true);

  end(vm);

  EXPECT_EQ(vm.phase, Phase::kStopped);
  EXPECT_EQ(vm.readiness, Readiness::kCrashed);
  EXPECT_FALSE(vm.guest);
  // Not yet: only somebody to whom no TPM has answered gets the one that was reset.
  EXPECT_EQ(instances_.setups.size(), 1U);
  EXPECT_EQ(instances_.refused[vm.id()], 0);
  host_->connection_waits(vm.id());
  EXPECT_EQ(instances_.setups.size(), 2U);
}

TEST_F(HostInstanceTest, DoesNotTakeAnEarlierComplaintForTheReasonOfACrash) {
  const auto& vm = create_vm("a");
  serve(vm);
  say(vm, "locked-out", true);

  end(vm);

  EXPECT_EQ(vm.readiness, Readiness::kCrashed);
}

TEST_F(HostInstanceTest, KeepsTheLastWordOfAnInstanceThatEndsInTrouble) {
  const auto& vm = create_vm("a");
  serve(vm);

  say_last(vm, "store-failing", "disk full");
  end(vm);

  EXPECT_EQ(vm.readiness, Readiness::kStoreFailing);
  EXPECT_EQ(vm.reason, "disk full");
}

TEST_F(HostInstanceTest, TakesAnOrderlyEndForWhatItIs) {
  const auto& vm = create_vm("a");
  serve(vm);

  say_last(vm, "stopped");
  end(vm);

  EXPECT_EQ(vm.readiness, Readiness::kStopped);
  EXPECT_EQ(vm.phase, Phase::kStopped);
}

TEST_F(HostInstanceTest, TriesALaunchAgainThatWasLostWithTheParent) {
  const auto& vm = create_vm("a");
  ASSERT_TRUE(host_->start(vm.id()));

  end(vm);
  EXPECT_EQ(vm.phase, Phase::kStarting);
  EXPECT_EQ(instances_.setups.size(), 2U);
  host_->opened(vm.id(), {});

  EXPECT_EQ(vm.phase, Phase::kServing);
}

TEST_F(HostInstanceTest, GivesUpOnLaunchesThatAreLostAgainAndAgain) {
  const auto& vm = create_vm("a");
  ASSERT_TRUE(host_->start(vm.id()));
  for (int i = 0; i < 10 && vm.phase == Phase::kStarting; ++i) {
    end(vm);
  }

  EXPECT_EQ(vm.phase, Phase::kStopped);
  EXPECT_EQ(instances_.setups.size(), 4U);
  EXPECT_EQ(vm.readiness, Readiness::kCrashed);
}

TEST_F(HostInstanceTest, SaysWhyNoInstanceCanBeForked) {
  const auto& vm = create_vm("a");
  ASSERT_TRUE(host_->start(vm.id()));

  host_->fork_failed(vm.id(), "no memory");
  end(vm);

  EXPECT_EQ(vm.readiness, Readiness::kNotSetUp);
  EXPECT_EQ(vm.reason, "no memory");
}

TEST_F(HostInstanceTest, SaysWhyALaunchFails) {
  const auto& vm = create_vm("a");
  instances_.refuse_launch = true;

  EXPECT_FALSE(host_->start(vm.id()));

  EXPECT_EQ(vm.phase, Phase::kStopped);
  EXPECT_EQ(vm.readiness, Readiness::kNotSetUp);
  instances_.refuse_launch = false;
  EXPECT_TRUE(host_->start(vm.id()));
}

TEST_F(HostInstanceTest, StopsInOrder) {
  const auto& vm = create_vm("a");
  serve(vm);

  ASSERT_TRUE(host_->stop(vm.id(), false));
  EXPECT_EQ(vm.phase, Phase::kStopping);
  EXPECT_EQ(vm.readiness, Readiness::kStopping);
  EXPECT_EQ(instances_.sent.back(), instance::ToInstance::kStop);
  EXPECT_EQ(host_->start(vm.id()).error().code, ErrorCode::kUnavailable);
  say_last(vm, "stopped");
  end(vm);

  EXPECT_EQ(vm.readiness, Readiness::kStopped);
  EXPECT_TRUE(host_->stop(vm.id(), false));
}

TEST_F(HostInstanceTest, StopsAnInstanceThatIsStillStarting) {
  const auto& vm = create_vm("a");
  ASSERT_TRUE(host_->start(vm.id()));

  ASSERT_TRUE(host_->stop(vm.id(), false));
  host_->opened(vm.id(), {});

  EXPECT_EQ(instances_.sent, std::vector{instance::ToInstance::kStop});
  EXPECT_EQ(vm.phase, Phase::kStopping);
}

TEST_F(HostInstanceTest, DoesNotStopATpmThatAGuestUsesUnlessForced) {
  const auto& vm = create_vm("a");
  serve(vm);
  say(vm, "ready", true);

  EXPECT_EQ(host_->stop(vm.id(), false).error().code, ErrorCode::kDenied);
  EXPECT_EQ(vm.phase, Phase::kServing);

  ASSERT_TRUE(host_->stop(vm.id(), true));
  EXPECT_EQ(vm.phase, Phase::kStopping);
  EXPECT_TRUE(instances_.killed.empty());
  ASSERT_TRUE(host_->stop(vm.id(), true));
  EXPECT_TRUE(instances_.killed.contains(vm.id()));
}

TEST_F(HostInstanceTest, KillsAnInstanceThatTakesNoMessage) {
  const auto& vm = create_vm("a");
  serve(vm);
  instances_.refuse_send = true;

  ASSERT_TRUE(host_->stop(vm.id(), false));

  EXPECT_TRUE(instances_.killed.contains(vm.id()));
}

// A lease that is held when a Host opens: an instance that outlived the vtpmd that started it.
class DetachedTest : public HostInstanceTest {
 protected:
  DetachedTest() {
    serve(create_vm("a"));
    lease_ = std::move(instances_.leases.begin()->second);
    EXPECT_TRUE(sign_lease(lease_));
    instances_.leases.clear();
    instances_.setups.clear();
    reopen();
    vm_ = *host_->find("a");
  }

  base::Descriptor lease_;
  const Vm* vm_ = nullptr;
};

TEST_F(DetachedTest, IsRecognisedWithItsProcess) {
  EXPECT_EQ(vm_->phase, Phase::kDetached);
  EXPECT_EQ(vm_->readiness, Readiness::kDetached);
  EXPECT_EQ(vm_->pid, getpid());
  EXPECT_TRUE(vm_->guest);
  ASSERT_EQ(instances_.holders.size(), 1U);
  EXPECT_TRUE(instances_.holders[0]);
}

TEST_F(DetachedTest, IsReclaimedWhenItLetsTheNextVtpmdIn) {
  EXPECT_TRUE(instances_.knocked.contains(vm_->id()));
  instance::Opened opened;
  opened.set_opened_by("a key");

  host_->reclaimed(vm_->id(), opened);
  say(*vm_, "ready", true);

  EXPECT_EQ(vm_->phase, Phase::kServing);
  EXPECT_EQ(vm_->readiness, Readiness::kReady);
  EXPECT_EQ(vm_->opened_by, "a key");
  EXPECT_TRUE(vm_->guest);
  // Its holder's end is seen by both roads.
  end(*vm_);
  host_->holder_ended(vm_->id());
  EXPECT_EQ(vm_->phase, Phase::kStopped);
  EXPECT_EQ(vm_->readiness, Readiness::kCrashed);
}

TEST_F(DetachedTest, IsNotReplacedWhileItIsOutOfReach) {
  EXPECT_EQ(host_->replace(vm_->id()).error().code, ErrorCode::kDenied);
  EXPECT_TRUE(instances_.successors.empty());
}

TEST_F(DetachedTest, GetsNoSecondInstanceWhileItLives) {
  host_->connection_waits(vm_->id());

  EXPECT_TRUE(instances_.setups.empty());
  EXPECT_EQ(host_->start(vm_->id()).error().code, ErrorCode::kDenied);
  EXPECT_EQ(host_->remove(vm_->id(), nothing).error().code, ErrorCode::kDenied);
}

TEST_F(DetachedTest, GivesWayToTheNextConnectionWhenItEnds) {
  lease_ = base::Descriptor();
  host_->holder_ended(vm_->id());

  EXPECT_EQ(vm_->phase, Phase::kStopped);
  EXPECT_FALSE(vm_->guest);
  host_->connection_waits(vm_->id());
  EXPECT_EQ(instances_.setups.size(), 1U);
}

TEST_F(DetachedTest, IsToldToEndOnlyByForce) {
  EXPECT_EQ(host_->stop(vm_->id(), false).error().code, ErrorCode::kDenied);
  EXPECT_TRUE(instances_.signals.empty());

  EXPECT_TRUE(host_->stop(vm_->id(), true));
  EXPECT_EQ(instances_.signals, std::vector{SIGTERM});

  // One that does not end by that is not asked again.
  EXPECT_TRUE(host_->stop(vm_->id(), true));
  EXPECT_EQ(instances_.signals, (std::vector{SIGTERM, SIGKILL}));
}

TEST_F(HostInstanceTest, NoticesALeaseThatIsTakenWhenItStarts) {
  const auto& vm = create_vm("a");
  const auto lease = take_lease(folder_.lease(vm.id()));

  EXPECT_EQ(host_->start(vm.id()).error().code, ErrorCode::kUnavailable);

  EXPECT_EQ(vm.phase, Phase::kDetached);
  EXPECT_TRUE(instances_.setups.empty());
}

}  // namespace
}  // namespace vtpm::host
