// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <chrono>

#include "tests/support/host_case.h"

// One instance in the place of another.
namespace vtpm::host {
namespace {

namespace instance = strongroom::instance::v1;
using base::ErrorCode;

class ReplacementTest : public HostCase {
 protected:
  ReplacementTest() : vm_(create_vm("a")) {
    serve(vm_);
    say(vm_, "ready", true);
  }

  static instance::TakenOver taken_over() {
    instance::TakenOver message;
    message.mutable_opened()->set_opened_by("the same key");
    message.set_pause_microseconds(1500);
    return message;
  }

  const Vm& vm_;
};

TEST_F(ReplacementTest, TellsASuccessorWhatTheInstanceWasToldAndToMakeNothing) {
  ASSERT_TRUE(host_->replace(vm_.id()));

  ASSERT_EQ(instances_.successors.size(), 1U);
  const auto& setup = instances_.successors[0];
  EXPECT_TRUE(setup.take_over());
  EXPECT_FALSE(setup.may_create());
  EXPECT_EQ(setup.store_path(), instances_.setups[0].store_path());
  EXPECT_EQ(setup.launch_document(), instances_.setups[0].launch_document());
  EXPECT_TRUE(vm_.replacing);
  EXPECT_EQ(host_->replace(vm_.id()).error().code, ErrorCode::kUnavailable) << "twice at once";
}

TEST_F(ReplacementTest, GoesOnWithTheSuccessor) {
  ASSERT_TRUE(host_->replace(vm_.id()));

  host_->taken_over(vm_.id(), taken_over());

  EXPECT_EQ(vm_.phase, Phase::kServing);
  EXPECT_FALSE(vm_.replacing);
  ASSERT_TRUE(vm_.replaced);
  EXPECT_FALSE(vm_.replaced->failed);
  EXPECT_EQ(vm_.replaced->pause, std::chrono::microseconds(1500));
  EXPECT_EQ(vm_.opened_by, "the same key");
  EXPECT_TRUE(host_->replace(vm_.id())) << "and again";
}

TEST_F(ReplacementTest, KeepsTheInstanceWhenItsSuccessorFails) {
  ASSERT_TRUE(host_->replace(vm_.id()));

  host_->replacement_failed(vm_.id(), "no room");

  EXPECT_EQ(vm_.phase, Phase::kServing);
  EXPECT_TRUE(vm_.guest);
  ASSERT_TRUE(vm_.replaced);
  ASSERT_TRUE(vm_.replaced->failed);
  EXPECT_EQ(vm_.replaced->failed->message, "no room");
}

TEST_F(ReplacementTest, StopsASuccessorThatWasToldToTheOneBefore) {
  ASSERT_TRUE(host_->replace(vm_.id()));
  ASSERT_TRUE(host_->stop(vm_.id(), true));
  instances_.sent.clear();

  host_->taken_over(vm_.id(), taken_over());

  EXPECT_EQ(instances_.sent, std::vector{instance::ToInstance::kStop});
}

TEST_F(ReplacementTest, IsOverWhenTheInstanceEnds) {
  ASSERT_TRUE(host_->replace(vm_.id()));

  end(vm_);

  EXPECT_FALSE(vm_.replacing);
  EXPECT_EQ(vm_.phase, Phase::kStopped);
  EXPECT_EQ(host_->replace(vm_.id()).error().code, ErrorCode::kDenied);
}

TEST_F(ReplacementTest, HasNoSuccessorThatCannotBeStarted) {
  instances_.refuse_launch = true;

  EXPECT_FALSE(host_->replace(vm_.id()));

  EXPECT_FALSE(vm_.replacing);
}

// As when an instance has ended and the one that took its place was never heard of.
TEST_F(ReplacementTest, AVmWhoseLeaseSomebodyHoldsIsNotDeleted) {
  host_->instance_ended(vm_.id());
  ASSERT_EQ(vm_.phase, Phase::kStopped);

  EXPECT_EQ(host_->remove(vm_.id(), nothing).error().code, ErrorCode::kDenied);

  EXPECT_EQ(vm_.phase, Phase::kDetached);
  EXPECT_FALSE(vm_.record.deleting);
  EXPECT_TRUE(instances_.knocked.contains(vm_.id()));
}

TEST_F(ReplacementTest, IsNotForAConfidentialVm) {
  auto confidential = request("c");
  confidential.mutable_parameters()->set_tee("sev-snp");
  const auto* vm = create(confidential)->first;
  serve(*vm);

  EXPECT_EQ(host_->replace(vm->id()).error().code, ErrorCode::kDenied);
}

}  // namespace
}  // namespace vtpm::host
