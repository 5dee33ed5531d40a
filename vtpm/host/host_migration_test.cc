// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <string>

#include "tests/support/host_case.h"
#include "vtpm/host/vm_view.h"

// A VM's TPM on its way from or to another host.
namespace vtpm::host {
namespace {

namespace instance = strongroom::instance::v1;
using base::ErrorCode;
using keybroker::protocol::Readiness;

class HostMigrationTest : public HostCase {
 protected:
  HostMigrationTest() : vm_(create_vm("a")) {}

  static std::string ticket(char id) {
    return "SRTK" + std::string(4, '\1') + std::string(152, id);
  }

  static std::string release(char id) {
    return "SRRL" + std::string(4, '\1') + std::string(48, id);
  }

  void say_travel(instance::State::Migration migration, std::uint32_t taken = 0,
                  std::uint32_t put_in = 0, bool seals = true) {
    instance::State state;
    state.set_readiness("ready");
    state.set_guest(true);
    state.set_migration(migration);
    state.set_states_taken(taken);
    state.set_states_put_in(put_in);
    state.set_seals_to_tickets(seals);
    host_->said(vm_.id(), state);
  }

  // What an instance that awaits a TPM does before it opens.
  void make_claim() const { std::ofstream(beside_ticket(".claim")) << "claim"; }

  void remove_claim() const { std::filesystem::remove(beside_ticket(".claim")); }

  [[nodiscard]] std::filesystem::path beside_ticket(const std::string& suffix) const {
    return folder_.ticket(vm_.id()).string() + suffix;
  }

  static std::string hex(char id) { return base::to_hex(base::Bytes(16, std::byte(id))); }

  [[nodiscard]] std::filesystem::path returned(char id) const {
    return beside_ticket(".returned." + hex(id));
  }

  // What an instance writes that gives something back.
  void make_release(const std::string& suffix, char id) const {
    std::ofstream(beside_ticket(".released" + suffix)) << release(id);
  }

  void await() {
    ASSERT_TRUE(host_->await_tpm(vm_.id()));
    make_claim();
    host_->forked(vm_.id(), 100);
    host_->opened(vm_.id(), {});
    say_travel(instance::State::AWAITED);
  }

  const Vm& vm_;
};

TEST_F(HostMigrationTest, TellsEachInstanceWhereTicketsLie) {
  serve(vm_);

  const auto& setup = instances_.setups.back();
  EXPECT_EQ(setup.migration_ticket(), folder_.ticket(vm_.id()).string());
  EXPECT_FALSE(setup.awaits_tpm());
  EXPECT_FALSE(setup.release_ticket());
}

TEST_F(HostMigrationTest, HasAnInstanceAwaitTheTpmAndMakeAStoreForItWhateverWasThere) {
  serve(vm_);
  say_last(vm_, "stopped");
  end(vm_);
  ASSERT_TRUE(vm_.record.has_state);
  instances_.sent.clear();

  await();

  const auto& setup = instances_.setups.back();
  EXPECT_TRUE(setup.awaits_tpm());
  EXPECT_TRUE(setup.may_create());
  EXPECT_EQ(instances_.sent, std::vector{instance::ToInstance::kServe}) << "it waits for that";
  EXPECT_EQ(vm_.phase, Phase::kServing);
  EXPECT_EQ(view_of(*host_, vm_).migration(), "awaited");
  const auto launched = instances_.setups.size();
  EXPECT_TRUE(host_->await_tpm(vm_.id())) << "it does already";
  EXPECT_EQ(instances_.setups.size(), launched);
  remove_claim();
  say_travel(instance::State::NONE);
  EXPECT_EQ(host_->await_tpm(vm_.id()).error().code, ErrorCode::kDenied) << "it runs here";
}

TEST_F(HostMigrationTest, AwaitsNothingWhereSomethingMayHaveBeenOfferedBefore) {
  make_claim();

  EXPECT_EQ(host_->await_tpm(vm_.id()).error().code, ErrorCode::kDenied);
  EXPECT_EQ(host_->send_tpm(vm_.id(), base::bytes_of(ticket('t'))).error().code,
            ErrorCode::kDenied);
  EXPECT_EQ(host_->remove(vm_.id(), nothing).error().code, ErrorCode::kDenied);

  EXPECT_TRUE(instances_.setups.empty());
  remove_claim();
  EXPECT_TRUE(host_->remove(vm_.id(), nothing));
}

TEST_F(HostMigrationTest, AwaitsNoTpmThatDoesNotMove) {
  auto confidential = request("c");
  confidential.mutable_parameters()->set_tee("sev-snp");
  const auto* const held = create(confidential)->first;
  const auto& fleeting = create_vm("e", "ephemeral");
  for (const auto* const vm : {held, &fleeting}) {
    EXPECT_EQ(host_->await_tpm(vm->id()).error().code, ErrorCode::kDenied);
    EXPECT_EQ(host_->send_tpm(vm->id(), base::bytes_of(ticket('t'))).error().code,
              ErrorCode::kDenied);
    EXPECT_EQ(host_->release_tpm(vm->id()).error().code, ErrorCode::kDenied);
    ASSERT_TRUE(host_->start(vm->id()));
    EXPECT_EQ(instances_.setups.back().migration_ticket(), "");
  }
}

TEST_F(HostMigrationTest, KeepsATicketForTheInstanceThereIsOrComes) {
  EXPECT_EQ(host_->send_tpm(vm_.id(), base::bytes_of("a letter to somebody else, of some length"))
                .error()
                .code,
            ErrorCode::kInvalidArgument);
  EXPECT_EQ(host_->send_tpm(vm_.id(), {}).error().code, ErrorCode::kInvalidArgument);
  ASSERT_TRUE(host_->send_tpm(vm_.id(), base::bytes_of(ticket('t'))));
  serve(vm_);
  say_travel(instance::State::NONE);

  ASSERT_TRUE(host_->send_tpm(vm_.id(), base::bytes_of(ticket('u'))));

  EXPECT_EQ(*folder_.read_ticket(vm_.id()), base::copy_of(base::bytes_of(ticket('u'))));
  say_travel(instance::State::OFFERED);
  EXPECT_EQ(host_->send_tpm(vm_.id(), base::bytes_of(ticket('t'))).error().code,
            ErrorCode::kDenied);
}

// Its instance would let it leave in the clear, as one of an older program does.
TEST_F(HostMigrationTest, SendsNothingByAnInstanceThatKnowsNoTickets) {
  serve(vm_);
  say_travel(instance::State::NONE, 0, 0, false);

  EXPECT_EQ(host_->send_tpm(vm_.id(), base::bytes_of(ticket('t'))).error().code,
            ErrorCode::kDenied);
}

TEST_F(HostMigrationTest, TakesTheTpmBackByWhatTheOtherHostGave) {
  serve(vm_);
  say_travel(instance::State::NONE);
  EXPECT_EQ(host_->take_tpm_back(vm_.id(), {}).error().code, ErrorCode::kNotFound);
  ASSERT_TRUE(host_->send_tpm(vm_.id(), base::bytes_of(ticket('t'))));
  say_travel(instance::State::OFFERED);
  EXPECT_EQ(host_->take_tpm_back(vm_.id(), {}).error().code, ErrorCode::kDenied);
  EXPECT_EQ(host_->take_tpm_back(vm_.id(), base::bytes_of(ticket('t'))).error().code,
            ErrorCode::kInvalidArgument);
  instances_.sent.clear();

  EXPECT_EQ(host_->take_tpm_back(vm_.id(), base::bytes_of(release('t') + "SRRL")).error().code,
            ErrorCode::kInvalidArgument);
  EXPECT_FALSE(std::filesystem::exists(returned('t')));

  ASSERT_TRUE(host_->take_tpm_back(vm_.id(), base::bytes_of(release('u') + release('t'))));

  EXPECT_EQ(instances_.sent, std::vector{instance::ToInstance::kTakeBack});
  EXPECT_TRUE(std::filesystem::exists(returned('t')));
  EXPECT_TRUE(std::filesystem::exists(returned('u')));
  EXPECT_TRUE(folder_.read_ticket(vm_.id())->empty());
  EXPECT_TRUE(vm_.takes_back) << "until the instance says so";
  instance::TakeBackEnded ended;
  ended.set_reason("it is of another");
  host_->take_back_ended(vm_.id(), ended);
  EXPECT_FALSE(vm_.takes_back);
  EXPECT_EQ(vm_.unreleased->message, "it is of another");

  ASSERT_TRUE(host_->take_tpm_back(vm_.id(), base::bytes_of(release('t'))));
  ended.set_taken_back(true);
  host_->take_back_ended(vm_.id(), ended);
  EXPECT_FALSE(vm_.takes_back);
  EXPECT_FALSE(vm_.unreleased);
}

// An instance that died counted as one that had the TPM back.
TEST_F(HostMigrationTest, DoesNotKnowOfATpmBackWhoseInstanceEndedBeforeItSaidSo) {
  serve(vm_);
  say_travel(instance::State::OFFERED);
  ASSERT_TRUE(host_->take_tpm_back(vm_.id(), base::bytes_of(release('t'))));

  say_last(vm_, "moved-away");
  EXPECT_TRUE(vm_.takes_back);
  end(vm_);

  EXPECT_FALSE(vm_.takes_back);
  EXPECT_EQ(vm_.unreleased->code, ErrorCode::kUnavailable);
}

// It was said to be back before anybody had looked into the store.
TEST_F(HostMigrationTest, HasTheStoreOfAVmThatDoesNotRunAskedWhetherItsTpmIsBack) {
  ASSERT_TRUE(host_->start(vm_.id()));
  EXPECT_EQ(host_->take_tpm_back(vm_.id(), base::bytes_of(release('t'))).error().code,
            ErrorCode::kUnavailable)
      << "it may have looked for it already";
  host_->forked(vm_.id(), 100);
  host_->opened(vm_.id(), {});
  say_last(vm_, "moved-away");
  end(vm_);

  ASSERT_TRUE(host_->take_tpm_back(vm_.id(), base::bytes_of(release('t'))));

  EXPECT_TRUE(instances_.setups.back().take_back());
  EXPECT_FALSE(instances_.setups.back().may_create());
  EXPECT_EQ(vm_.phase, Phase::kReleasing);
  EXPECT_TRUE(vm_.takes_back);
  say_last(vm_, "moved-away", "nothing there gives it back");
  end(vm_);
  EXPECT_FALSE(vm_.takes_back);
  EXPECT_EQ(vm_.unreleased->message, "nothing there gives it back");
  EXPECT_EQ(vm_.readiness, Readiness::kMovedAway);
  EXPECT_EQ(host_->send_tpm(vm_.id(), base::bytes_of(ticket('u'))).error().code,
            ErrorCode::kDenied);

  ASSERT_TRUE(host_->take_tpm_back(vm_.id(), base::bytes_of(release('t'))));
  say_last(vm_, "stopped");
  end(vm_);
  EXPECT_FALSE(vm_.unreleased);
  EXPECT_EQ(vm_.readiness, Readiness::kStopped);
}

// The sender's next ticket went with what gave back what had been offered to the one before, and
// the TPM left in the clear.
TEST_F(HostMigrationTest, TakesBackByOneTicketAndKeepsAnother) {
  ASSERT_TRUE(host_->send_tpm(vm_.id(), base::bytes_of(ticket('u'))));

  ASSERT_TRUE(host_->take_tpm_back(vm_.id(), base::bytes_of(release('t'))));

  EXPECT_EQ(*folder_.read_ticket(vm_.id()), base::copy_of(base::bytes_of(ticket('u'))));
}

// A TPM that had just arrived was ended.
TEST_F(HostMigrationTest, StopsAnInstanceThatAwaitsTheTpmAndNoneThatHasIt) {
  await();

  ASSERT_TRUE(host_->stop_awaiting(vm_.id()));

  EXPECT_TRUE(instances_.last_sent.stop().only_while_it_awaits());
  EXPECT_EQ(vm_.phase, Phase::kServing) << "until it says which";
  say_travel(instance::State::NONE);
  instances_.sent.clear();
  ASSERT_TRUE(host_->stop_awaiting(vm_.id()));
  EXPECT_TRUE(instances_.sent.empty());
  say_travel(instance::State::AWAITED);
  instances_.refuse_send = true;
  EXPECT_EQ(host_->stop_awaiting(vm_.id()).error().code, ErrorCode::kUnavailable);
  EXPECT_TRUE(instances_.killed.empty());
}

TEST_F(HostMigrationTest, ForgetsATicketThatNothingWasOfferedTo) {
  ASSERT_TRUE(host_->send_tpm(vm_.id(), base::bytes_of(ticket('t'))));

  ASSERT_TRUE(host_->take_tpm_back(vm_.id(), {}));

  EXPECT_TRUE(folder_.read_ticket(vm_.id())->empty());
}

TEST_F(HostMigrationTest, HasAnInstanceFindOutWhetherTheTpmHasArrived) {
  await();
  EXPECT_EQ(host_->release_tpm(vm_.id()).error().code, ErrorCode::kDenied) << "it still waits";
  say_last(vm_, "stopped");
  end(vm_);

  ASSERT_TRUE(host_->release_tpm(vm_.id()));
  EXPECT_TRUE(instances_.setups.back().release_ticket());
  EXPECT_FALSE(instances_.setups.back().may_create());
  EXPECT_EQ(vm_.phase, Phase::kReleasing);
  EXPECT_EQ(host_->start(vm_.id()).error().code, ErrorCode::kUnavailable);
  host_->forked(vm_.id(), 101);
  say_last(vm_, "not-set-up", "it has arrived");
  end(vm_);

  EXPECT_EQ(vm_.phase, Phase::kStopped);
  ASSERT_TRUE(vm_.unreleased);
  EXPECT_EQ(vm_.unreleased->message, "it has arrived");

  ASSERT_TRUE(host_->release_tpm(vm_.id()));
  host_->forked(vm_.id(), 102);
  end(vm_);
  EXPECT_EQ(vm_.unreleased->code, ErrorCode::kUnavailable) << "it died";

  ASSERT_TRUE(host_->release_tpm(vm_.id()));
  host_->forked(vm_.id(), 103);
  say_last(vm_, "stopped");
  end(vm_);
  EXPECT_FALSE(vm_.unreleased);
  EXPECT_EQ(vm_.readiness, Readiness::kStopped);
}

// The other host may not have it yet.
TEST_F(HostMigrationTest, KeepsWhatGivesBackWhenTheVmIsDeleted) {
  make_release("", 'u');
  make_release("." + hex('t'), 't');
  make_release("." + hex('v') + ".new", 'v');
  ASSERT_TRUE(folder_.keep_returned(vm_.id(), base::bytes_of(release('w'))));
  const auto id = vm_.id();
  const auto older = beside_ticket(".released." + hex('t'));
  std::filesystem::last_write_time(older,
                                   std::filesystem::last_write_time(older) - std::chrono::hours(1));
  const auto all = base::copy_of(base::bytes_of(release('u') + release('t')));
  EXPECT_EQ(*folder_.read_releases(id), all);
  const auto folder = folder_.ticket(id).parent_path();

  ASSERT_TRUE(host_->remove(id, nothing));

  EXPECT_EQ(*folder_.read_releases(id), all);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder), {}), 2);
}

TEST_F(HostMigrationTest, CountsTheStatesThatLeftOverAllInstancesOfAGuest) {
  serve(vm_);
  say_travel(instance::State::NONE, 3, 1);
  ASSERT_TRUE(host_->replace(vm_.id()));
  instance::TakenOver taken_over;
  host_->taken_over(vm_.id(), taken_over);
  say_travel(instance::State::NONE, 1, 1);

  EXPECT_EQ(view_of(*host_, vm_).states_taken(), 4U);
  EXPECT_EQ(view_of(*host_, vm_).states_put_in(), 2U);
  say_last(vm_, "stopped");
  end(vm_);
  serve(vm_);
  EXPECT_EQ(view_of(*host_, vm_).states_taken(), 0U) << "of another life";
}

}  // namespace
}  // namespace vtpm::host
