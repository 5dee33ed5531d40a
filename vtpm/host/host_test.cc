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

namespace vtpm::host {
namespace {

namespace api = strongroom::host::v1;
namespace instance = strongroom::instance::v1;
using base::ErrorCode;
using keybroker::protocol::Readiness;

using HostTest = HostCase;

TEST_F(HostTest, RegistersAVmAndListensForItsHypervisor) {
  const auto& vm = create_vm("a");

  EXPECT_EQ(vm.phase, Phase::kStopped);
  EXPECT_EQ(vm.readiness, Readiness::kStopped);
  EXPECT_TRUE(instances_.open.contains(vm.id()));
  EXPECT_TRUE(instances_.watched.contains(vm.id()));
  EXPECT_EQ(changes_.back(), vm.id());
}

TEST_F(HostTest, TellsAnInstanceWhatItsUefiVariablesBeginWith) {
  auto wish = request("a");
  wish.set_variables(std::string(4096, 'a'));
  const auto* vm = create(wish)->first;
  serve(*vm);

  EXPECT_EQ(instances_.setups[0].variables_path(), folder_.variables(vm->id())->string());
  EXPECT_TRUE(create(wish)) << "the same again";
  wish.set_variables(std::string(4096, 'b'));
  EXPECT_EQ(create(wish).error().code, ErrorCode::kDenied);
  serve(create_vm("b"));
  EXPECT_EQ(instances_.setups[1].variables_path(), "");
}

TEST_F(HostTest, FindsAVmByNameAndById) {
  const auto& vm = create_vm("a");

  EXPECT_EQ(*host_->find("a"), &vm);
  EXPECT_EQ(*host_->find(to_string(vm.id())), &vm);
  EXPECT_EQ(host_->find("b").error().code, ErrorCode::kNotFound);
}

TEST_F(HostTest, ListsVmsByName) {
  create_vm("c");
  create_vm("a");
  create_vm("b");

  std::string names;
  for (const auto* vm : host_->all()) {
    names += vm->record.name;
  }
  EXPECT_EQ(names, "abc");
}

TEST_F(HostTest, GivesTheSameVmWhenItIsCreatedAgainWithTheSameParameters) {
  const auto& vm = create_vm("a");

  const auto again = create(request("a"));

  ASSERT_TRUE(again);
  EXPECT_EQ(again->first, &vm);
  EXPECT_FALSE(again->second);
  EXPECT_EQ(host_->all().size(), 1U);
}

TEST_F(HostTest, NamesTheParameterThatDiffersWhenAVmIsCreatedAgain) {
  create_vm("a");
  auto other = request("a");
  other.mutable_parameters()->set_protection("none");

  const auto refused = create(other);

  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kDenied);
  EXPECT_NE(refused.error().message.find("protection is 'host', and 'none' was asked for"),
            std::string::npos);
}

TEST_F(HostTest, TellsAnInstanceOfTheDurabilityThatWasChosen) {
  auto strict = request("a");
  strict.set_durability("strict");
  const auto* vm = create(strict)->first;

  serve(*vm);

  EXPECT_TRUE(instances_.setups[0].strict_durability());
  EXPECT_TRUE(create(strict));
  EXPECT_FALSE(create(request("a")));
  serve(create_vm("b"));
  EXPECT_FALSE(instances_.setups[1].strict_durability());
}

TEST_F(HostTest, RefusesAnIdOrANameThatBelongsToAnotherVm) {
  const auto& vm = create_vm("a");
  auto same_id = request("b");
  same_id.set_vm_id(to_string(vm.id()));
  auto other_id = request("a");
  other_id.set_vm_id("10112233-4455-4677-8899-aabbccddeeff");

  EXPECT_EQ(create(same_id).error().code, ErrorCode::kDenied);
  EXPECT_EQ(create(other_id).error().code, ErrorCode::kDenied);
}

TEST_F(HostTest, RegistersNothingWhenWhatGoesWithItFails) {
  const auto spec = decode_spec(request("a"), VmId{{std::byte{1}}});
  const auto failed = host_->create(
      *spec, 0, [](const Vm&) -> base::Result<void> { return base::fail(ErrorCode::kIo, "no"); });

  EXPECT_FALSE(failed);
  EXPECT_TRUE(host_->all().empty());
  reopen();
  EXPECT_TRUE(host_->all().empty());
}

TEST_F(HostTest, StartsAnInstanceForAConnectionThatWaits) {
  const auto& vm = create_vm("a");

  host_->connection_waits(vm.id());

  EXPECT_EQ(vm.phase, Phase::kStarting);
  EXPECT_EQ(vm.readiness, Readiness::kProvisioning);
  ASSERT_EQ(instances_.setups.size(), 1U);
  EXPECT_EQ(instances_.setups[0].store_path(), folder_.store(vm.id()).string());
  EXPECT_EQ(instances_.setups[0].key_path(), folder_.key(vm.id()).string());
}

TEST_F(HostTest, TellsAnInstanceOfAnEphemeralVmOfNoFileAtAll) {
  const auto& vm = create_vm("a", "ephemeral");

  serve(vm);

  EXPECT_EQ(instances_.setups[0].store_path(), "");
  EXPECT_EQ(instances_.setups[0].key_path(), "");
  EXPECT_FALSE(vm.record.has_state);
}

TEST_F(HostTest, StartsOneInstanceAtATime) {
  const auto& vm = create_vm("a");
  ASSERT_TRUE(host_->start(vm.id()));

  EXPECT_TRUE(host_->start(vm.id()));
  host_->connection_waits(vm.id());

  EXPECT_EQ(instances_.setups.size(), 1U);
}

// The order that keeps a TPM from being made anew: first the registry knows, then a guest may come.
TEST_F(HostTest, NotesThatAVmHasStateBeforeItLetsAGuestIn) {
  const auto& vm = create_vm("a");
  ASSERT_TRUE(host_->start(vm.id()));
  EXPECT_TRUE(instances_.setups[0].may_create());
  EXPECT_TRUE(instances_.sent.empty());

  host_->opened(vm.id(), {});

  EXPECT_EQ(instances_.sent, std::vector{instance::ToInstance::kServe});
  EXPECT_TRUE(registry_->all()->front().has_state);
}

TEST_F(HostTest, IsNotReadyBeforeItsInstanceSaysSo) {
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
TEST_F(HostTest, KnowsTheProcessOfAnInstanceWhoseParentIsLateToTell) {
  const auto& vm = create_vm("a");
  ASSERT_TRUE(host_->start(vm.id()));
  ASSERT_TRUE(sign_lease(instances_.leases[vm.id()]));

  host_->opened(vm.id(), {});

  EXPECT_EQ(vm.pid, getpid());
}

TEST_F(HostTest, NeverAllowsAStoreToBeMadeTwice) {
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

TEST_F(HostTest, KillsAnInstanceWhoseStateCannotBeNoted) {
  const auto& vm = create_vm("a");
  ASSERT_TRUE(host_->start(vm.id()));
  ASSERT_TRUE(registry_->erase(vm.id()));

  host_->opened(vm.id(), {});
  EXPECT_TRUE(instances_.sent.empty());
  EXPECT_TRUE(instances_.killed.contains(vm.id()));
  end(vm);

  EXPECT_EQ(vm.readiness, Readiness::kStoreFailing);
}

TEST_F(HostTest, SaysThatStateIsMissingWhenTheStoreOfAStoppedVmIsGone) {
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

TEST_F(HostTest, ShowsWhatTheInstanceSaysOfItself) {
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

TEST_F(HostTest, KeepsAReadinessThatItDoesNotKnowOutOfTheRecord) {
  const auto& vm = create_vm("a");
  serve(vm);

  say(vm, "splendid", true);

  EXPECT_EQ(vm.readiness, Readiness::kReady);
}

TEST_F(HostTest, KeepsTheReasonWhyAnInstanceDidNotStartAndHangsUpOnWhoeverWaited) {
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

TEST_F(HostTest, CallsAnInstanceThatDiesWhileItStartsCrashed) {
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
TEST_F(HostTest, CallsItCrashedAsWellWhenTheProcessIsSeenToEndFirst) {
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

TEST_F(HostTest, StartsADeadInstanceAgainForTheNextConnectionOnly) {
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

TEST_F(HostTest, DoesNotTakeAnEarlierComplaintForTheReasonOfACrash) {
  const auto& vm = create_vm("a");
  serve(vm);
  say(vm, "locked-out", true);

  end(vm);

  EXPECT_EQ(vm.readiness, Readiness::kCrashed);
}

TEST_F(HostTest, KeepsTheLastWordOfAnInstanceThatEndsInTrouble) {
  const auto& vm = create_vm("a");
  serve(vm);

  say_last(vm, "store-failing", "disk full");
  end(vm);

  EXPECT_EQ(vm.readiness, Readiness::kStoreFailing);
  EXPECT_EQ(vm.reason, "disk full");
}

TEST_F(HostTest, TakesAnOrderlyEndForWhatItIs) {
  const auto& vm = create_vm("a");
  serve(vm);

  say_last(vm, "stopped");
  end(vm);

  EXPECT_EQ(vm.readiness, Readiness::kStopped);
  EXPECT_EQ(vm.phase, Phase::kStopped);
}

TEST_F(HostTest, TriesALaunchAgainThatWasLostWithTheParent) {
  const auto& vm = create_vm("a");
  ASSERT_TRUE(host_->start(vm.id()));

  end(vm);
  EXPECT_EQ(vm.phase, Phase::kStarting);
  EXPECT_EQ(instances_.setups.size(), 2U);
  host_->opened(vm.id(), {});

  EXPECT_EQ(vm.phase, Phase::kServing);
}

TEST_F(HostTest, GivesUpOnLaunchesThatAreLostAgainAndAgain) {
  const auto& vm = create_vm("a");
  ASSERT_TRUE(host_->start(vm.id()));
  for (int i = 0; i < 10 && vm.phase == Phase::kStarting; ++i) {
    end(vm);
  }

  EXPECT_EQ(vm.phase, Phase::kStopped);
  EXPECT_EQ(instances_.setups.size(), 4U);
  EXPECT_EQ(vm.readiness, Readiness::kCrashed);
}

TEST_F(HostTest, SaysWhyNoInstanceCanBeForked) {
  const auto& vm = create_vm("a");
  ASSERT_TRUE(host_->start(vm.id()));

  host_->fork_failed(vm.id(), "no memory");
  end(vm);

  EXPECT_EQ(vm.readiness, Readiness::kNotSetUp);
  EXPECT_EQ(vm.reason, "no memory");
}

TEST_F(HostTest, SaysWhyALaunchFails) {
  const auto& vm = create_vm("a");
  instances_.refuse_launch = true;

  EXPECT_FALSE(host_->start(vm.id()));

  EXPECT_EQ(vm.phase, Phase::kStopped);
  EXPECT_EQ(vm.readiness, Readiness::kNotSetUp);
  instances_.refuse_launch = false;
  EXPECT_TRUE(host_->start(vm.id()));
}

TEST_F(HostTest, StopsInOrder) {
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

TEST_F(HostTest, StopsAnInstanceThatIsStillStarting) {
  const auto& vm = create_vm("a");
  ASSERT_TRUE(host_->start(vm.id()));

  ASSERT_TRUE(host_->stop(vm.id(), false));
  host_->opened(vm.id(), {});

  EXPECT_EQ(instances_.sent, std::vector{instance::ToInstance::kStop});
  EXPECT_EQ(vm.phase, Phase::kStopping);
}

TEST_F(HostTest, DoesNotStopATpmThatAGuestUsesUnlessForced) {
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

TEST_F(HostTest, KillsAnInstanceThatTakesNoMessage) {
  const auto& vm = create_vm("a");
  serve(vm);
  instances_.refuse_send = true;

  ASSERT_TRUE(host_->stop(vm.id(), false));

  EXPECT_TRUE(instances_.killed.contains(vm.id()));
}

TEST_F(HostTest, RemovesAVmWithAllItHas) {
  const auto& vm = create_vm("a");
  const auto id = vm.id();
  std::ofstream(folder_.store(id)) << "x";

  ASSERT_TRUE(host_->remove(id, nothing));

  EXPECT_FALSE(std::filesystem::exists(folder_.store(id).parent_path()));
  EXPECT_FALSE(instances_.open.contains(id));
  EXPECT_EQ(host_->find(id), nullptr);
  EXPECT_EQ(changes_.back(), id);
  reopen();
  EXPECT_TRUE(host_->all().empty());
}

TEST_F(HostTest, DoesNotRemoveAVmThatRuns) {
  const auto& vm = create_vm("a");
  serve(vm);

  EXPECT_EQ(host_->remove(vm.id(), nothing).error().code, ErrorCode::kDenied);
  EXPECT_EQ(host_->remove(VmId{}, nothing).error().code, ErrorCode::kNotFound);
}

TEST_F(HostTest, RemovesNothingWhenWhatGoesWithItFails) {
  const auto& vm = create_vm("a");
  std::ofstream(folder_.store(vm.id())) << "x";

  EXPECT_FALSE(host_->remove(
      vm.id(), [](const Vm&) -> base::Result<void> { return base::fail(ErrorCode::kIo, "no"); }));

  EXPECT_TRUE(std::filesystem::exists(folder_.store(vm.id())));
  reopen();
  EXPECT_EQ(host_->all().size(), 1U);
}

TEST_F(HostTest, FinishesARemovalThatWasInterrupted) {
  const auto id = create_vm("a").id();
  ASSERT_TRUE(registry_->note_deleting(id));

  reopen();

  EXPECT_TRUE(host_->all().empty());
  EXPECT_FALSE(std::filesystem::exists(folder_.store(id).parent_path()));
  EXPECT_TRUE(registry_->all()->empty());
}

TEST_F(HostTest, CreatesNoVmWhoseRemovalIsNotFinished) {
  const auto id = create_vm("a").id();
  auto other = *Database::open(folder_.registry());
  ASSERT_TRUE(
      other.execute("CREATE TRIGGER kept BEFORE DELETE ON vm "
                    "BEGIN SELECT RAISE(ABORT, 'kept'); END"));
  ASSERT_FALSE(host_->remove(id, nothing));

  const auto refused = create(request("a"));

  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kUnavailable);
  EXPECT_NE(refused.error().message.find("is being deleted: "), std::string::npos);
  EXPECT_NE(refused.error().message.find("; delete it again"), std::string::npos);
  ASSERT_TRUE(other.execute("DROP TRIGGER kept"));
  EXPECT_TRUE(host_->remove(id, nothing));
  EXPECT_TRUE(create(request("a")));
}

TEST_F(HostTest, TakesUpItsVmsWhenItIsOpenedAgain) {
  const auto id = create_vm("a").id();
  instances_.open.clear();
  instances_.watched.clear();

  reopen();

  EXPECT_EQ((*host_->find("a"))->id(), id);
  EXPECT_TRUE(instances_.open.contains(id));
  EXPECT_TRUE(instances_.watched.contains(id));
}

TEST_F(HostTest, KeepsOthersWorkingBesideAVmThatCannotBeSetUp) {
  create_vm("a");
  instances_.refuse_sockets = true;
  reopen();
  const auto& vm = **host_->find("a");

  EXPECT_EQ(vm.readiness, Readiness::kNotSetUp);
  EXPECT_FALSE(host_->start(vm.id()));
  EXPECT_TRUE(instances_.setups.empty());

  instances_.refuse_sockets = false;
  EXPECT_TRUE(host_->start(vm.id()));
  EXPECT_EQ(vm.phase, Phase::kStarting);
}

// A lease that is held when a Host opens: an instance that outlived the vtpmd that started it.
class DetachedTest : public HostTest {
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

TEST_F(HostTest, NoticesALeaseThatIsTakenWhenItStarts) {
  const auto& vm = create_vm("a");
  const auto lease = take_lease(folder_.lease(vm.id()));

  EXPECT_EQ(host_->start(vm.id()).error().code, ErrorCode::kUnavailable);

  EXPECT_EQ(vm.phase, Phase::kDetached);
  EXPECT_TRUE(instances_.setups.empty());
}

TEST_F(HostTest, IgnoresEventsOfVmsThatAreGone) {
  const VmId id{};
  host_->connection_waits(id);
  host_->forked(id, 1);
  host_->fork_failed(id, "");
  host_->opened(id, {});
  host_->said(id, {});
  host_->instance_ended(id);
  host_->holder_ended(id);
  host_->process_ended(1, "");
}

TEST_F(HostTest, ShowsAVmWithItsSocketsAndWhatOpensIt) {
  const auto& vm = create_vm("a");

  const auto view = view_of(*host_, vm);

  EXPECT_EQ(view.name(), "a");
  EXPECT_EQ(view.parameters().protection(), "host");
  EXPECT_EQ(view.readiness().name(), "stopped");
  EXPECT_FALSE(view.readiness().is_ready());
  EXPECT_EQ(view.store_path(), folder_.store(vm.id()).string());
  EXPECT_NE(view.opened_by().find(folder_.key(vm.id()).string()), std::string::npos);
  EXPECT_NE(view.qemu_options().find("path=" + folder_.control_socket(vm.id()).string()),
            std::string::npos);
  EXPECT_EQ(view.launch_digest().size(), 96U);
}

TEST_F(HostTest, ShowsThatNothingOfAnEphemeralTpmIsWritten) {
  const auto view = view_of(*host_, create_vm("a", "ephemeral"));

  EXPECT_EQ(view.store_path(), "");
  EXPECT_NE(view.lifetime_note().find("nothing of this TPM is written anywhere"),
            std::string::npos);
}

TEST_F(HostTest, ShowsWhatTheInstanceSaidAboutItsStore) {
  const auto& vm = create_vm("a");
  ASSERT_TRUE(host_->start(vm.id()));
  instance::Opened opened;
  opened.set_opened_by("the second slot");
  opened.set_simulated_tee(true);
  host_->opened(vm.id(), opened);

  const auto view = view_of(*host_, vm);

  EXPECT_EQ(view.opened_by(), "the second slot");
  EXPECT_TRUE(view.simulated_tee());
  EXPECT_FALSE(view.readiness().is_ready()) << "it has not said so";

  say(vm, "ready");
  changes_.clear();
  instance::Opened later;
  later.set_opened_by("a key that the broker knows of");
  host_->opened(vm.id(), later);

  EXPECT_EQ(view_of(*host_, vm).opened_by(), "a key that the broker knows of");
  EXPECT_TRUE(view_of(*host_, vm).simulated_tee());
  EXPECT_TRUE(view_of(*host_, vm).readiness().is_ready());
  EXPECT_EQ(changes_.size(), 1U);
}

}  // namespace
}  // namespace vtpm::host
