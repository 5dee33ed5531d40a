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

TEST_F(HostTest, LetsStateLeaveInTheClearWhereThatWasAskedForOnly) {
  auto plain = request("a");
  plain.set_state_blobs("plain");
  const auto* vm = create(plain)->first;
  EXPECT_EQ(view_of(*host_, *vm).state_blobs(), "plain");
  serve(*vm);
  EXPECT_TRUE(instances_.setups[0].plain_state_blobs());
  EXPECT_TRUE(create(request("a"))) << "nothing was said about it";
  auto sealed = request("a");
  sealed.set_state_blobs("sealed");
  EXPECT_EQ(create(sealed).error().code, ErrorCode::kDenied);

  ASSERT_TRUE(host_->set_state_blobs(vm->id(), "sealed"));
  EXPECT_EQ(view_of(*host_, *vm).state_blobs(), "sealed");
  EXPECT_TRUE(create(sealed));
  EXPECT_EQ(host_->set_state_blobs(vm->id(), "").error().code, ErrorCode::kInvalidArgument);

  const auto& other = create_vm("b");
  serve(other);
  EXPECT_FALSE(instances_.setups[1].plain_state_blobs());
  EXPECT_EQ(view_of(*host_, other).state_blobs(), "sealed");
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

TEST_F(HostTest, IgnoresEventsOfVmsThatAreGone) {
  const VmId id{};
  host_->connection_waits(id);
  host_->forked(id, 1);
  host_->fork_failed(id, "");
  host_->opened(id, {});
  host_->said(id, {});
  host_->taken_over(id, {});
  host_->replacement_failed(id, "");
  host_->reclaimed(id, {});
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
