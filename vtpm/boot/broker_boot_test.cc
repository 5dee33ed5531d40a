// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/broker_boot_case.h"

namespace vtpm::boot {
namespace {

using namespace tests::support::broker_boot;

class BrokerBootTest : public BrokerBootCase {};

TEST_F(BrokerBootTest, KeepsATpmOverRestarts) {
  live("first");
  EXPECT_EQ(broker_.notices.size(), 2U);
  EXPECT_EQ(broker_.notices[0].kind(), pb::AnchorBody::BOOT);
  EXPECT_EQ(broker_.notices[1].kind(), pb::AnchorBody::CLOSED);
  EXPECT_LT(broker_.notices[0].sequence(), broker_.notices[1].sequence());
  EXPECT_FALSE(receipt_.empty());

  EXPECT_EQ(found(), "first");
  live("second");
  EXPECT_EQ(found(), "second");
  EXPECT_EQ(base::to_hex(base::bytes_of(broker_.release->receipt())), base::to_hex(receipt_));
}

TEST_F(BrokerBootTest, TheBootAnchorIsSentOnceAndCarriedAfterwards) {
  const auto life = serve();
  ASSERT_TRUE(life.boot->anchor());
  EXPECT_EQ(broker_.notices.size(), 1U);
  EXPECT_EQ(broker_.notices[0].sequence(), 1U);

  life.write("changed");
  const auto record =
      *vmgs::format::decode_record(life.store().volume().read(FileId::kRecord)->expose());
  ASSERT_TRUE(record.acked);
  EXPECT_EQ(record.acked->sequence, 1U);
  EXPECT_EQ(record.pending, std::nullopt);
  EXPECT_EQ(record.epoch, 1U);
  EXPECT_EQ(record.receipt, receipt_);
}

TEST_F(BrokerBootTest, EachBootHasANewKeyUnderTheVmsKey) {
  live("first");
  const auto wrapped = [this] {
    const auto life = begin();
    return base::to_hex(life.store().volume().read(FileId::kKeyProtector)->expose());
  };
  const auto one = wrapped();
  EXPECT_NE(wrapped(), one);
  EXPECT_EQ(one.find(base::to_hex(broker_.vm_key)), std::string::npos);

  broker_.vm_key[0] ^= std::byte{1};
  EXPECT_EQ(error_code(begin().started), ErrorCode::kAuthentication);
}

TEST_F(BrokerBootTest, AnOlderCopyIsStaleAfterEachAnchor) {
  live("first");
  const auto closed = copy("closed");
  {
    const auto life = serve();
    const auto booted = copy("booted");
    life.write("second");
    put_back(closed);
  }
  expect_refused(Readiness::kStaleState);  // of before this boot's anchor

  // What was copied right after the boot anchor is as good as a power cut then.
  put_back("booted");
  EXPECT_EQ(found(), "first");
  live("third");
  put_back("booted");
  expect_refused(Readiness::kStaleState);
}

TEST_F(BrokerBootTest, ACopyThatWasUsedElsewhereIsForked) {
  live("first");
  const auto copied = copy("copied");
  // A twin of the broker's record as it was: whoever claims last wins, and the other one's work is
  // another line.
  const auto record = std::tuple(broker_.epoch, broker_.owner, broker_.anchor);
  live("here");
  live("here again");
  const auto here = copy("here");
  const auto anchor_here = broker_.anchor;
  std::tie(broker_.epoch, broker_.owner, broker_.anchor) = record;
  put_back(copied);
  live("there");
  live("there again");
  broker_.anchor = anchor_here;

  expect_refused(Readiness::kForkedState);
  put_back(here);
  EXPECT_EQ(found(), "here again");
}

TEST_F(BrokerBootTest, OfTwoInstancesTheLaterClaimFencesTheOther) {
  live("first");
  const auto first = serve();
  const auto copied = copy("clone");
  const auto original = path_;
  path_ = folder_ / copied;
  const auto second = begin();
  ASSERT_TRUE(second.started) << second.started.error().message;
  path_ = original;

  first.write("more");
  EXPECT_TRUE(first.boot->close());  // its last anchor is refused, which harms nobody
  EXPECT_EQ(broker_.anchor->epoch, 2U);
  EXPECT_TRUE(second.boot->anchor());
  EXPECT_EQ(broker_.anchor->epoch, 3U);

  expect_refused(Readiness::kForkedState);  // the first one's store
}

TEST_F(BrokerBootTest, AFencedStartIsNotServed) {
  live("first");
  const auto life = begin();
  ++broker_.epoch;

  const auto anchored = life.boot->anchor();

  EXPECT_EQ(error_code(anchored), ErrorCode::kDenied);
  EXPECT_EQ(life.boot->trouble(), Readiness::kBrokerRefused);
  EXPECT_EQ(error_code(life.boot->anchor()), ErrorCode::kDenied) << "it stays so";
}

TEST_F(BrokerBootTest, ARefusalEndsTheStartAndLeavesTheStoreAlone) {
  live("first");
  document_.offline_rule = OfflineRule::kAllow;
  live("second");
  broker_.refuses_release = "measurement";

  expect_refused(Readiness::kBrokerRefused);  // even where it may start offline
}

TEST_F(BrokerBootTest, WithoutTheBrokerItDoesNotStart) {
  live("first");
  broker_is_away(true);
  expect_refused(Readiness::kBrokerAway, ErrorCode::kUnavailable);
  broker_is_away(false);
  EXPECT_EQ(found(), "first");
}

TEST_F(BrokerBootTest, AFirstBootThatEndedBeforeItsAnchorIsMadeAnew) {
  {
    const auto life = begin();
    ASSERT_TRUE(life.started);
  }  // the store is there, the anchor is not

  EXPECT_EQ(error_code(begin(false).started), ErrorCode::kNotFound);
  const auto life = serve();
  ASSERT_TRUE(life.started);
  EXPECT_TRUE(life.started->created);
  EXPECT_TRUE(std::filesystem::exists(folder_ / "vm.vmgs.unused"));
}

TEST_F(BrokerBootTest, AFirstBootWhoseAnchorWasNotAnsweredGoesOn) {
  {
    const auto life = begin();
    broker_.loses_answer = [](Method) { return true; };
    EXPECT_EQ(error_code(life.boot->anchor()), ErrorCode::kUnavailable);
    EXPECT_EQ(life.boot->trouble(), Readiness::kBrokerAway);
    broker_.loses_answer = nullptr;
  }
  EXPECT_TRUE(broker_.anchor);
  EXPECT_EQ(found(), "made");
}

TEST_F(BrokerBootTest, ACrashAfterTheClaimLeavesTheLineWhole) {
  live("first");
  for (int i = 0; i < 3; ++i) {
    const auto life = begin();
    ASSERT_TRUE(life.started) << life.started.error().message;
  }
  EXPECT_EQ(found(), "first");
}

TEST_F(BrokerBootTest, ACrashWithAnAnchorWhoseFateNobodyKnowsLeavesTheLineWhole) {
  live("first");
  for (const bool arrives : {false, true}) {
    const auto life = begin();
    ASSERT_TRUE(life.started) << life.started.error().message;
    (arrives ? broker_.loses_answer : broker_.loses_request) = [](Method method) {
      return method == Method::kAnchor;
    };
    EXPECT_FALSE(life.boot->anchor());
    life.write(arrives ? "after it arrived" : "after it was lost");  // as provisioning does
    broker_.loses_answer = broker_.loses_request = nullptr;
  }
  EXPECT_EQ(found(), "after it arrived");
}

TEST_F(BrokerBootTest, ARepeatedAnchorIsTheSameRequest) {
  const auto life = begin();
  int lost = 0;
  broker_.loses_answer = [&](Method method) { return method == Method::kAnchor && lost++ == 0; };
  life.write("meanwhile");

  ASSERT_TRUE(life.boot->anchor());

  ASSERT_EQ(broker_.notices.size(), 2U);
  EXPECT_EQ(broker_.notices[0].request_id(), broker_.notices[1].request_id());
}

TEST_F(BrokerBootTest, ACrashWhileTheGuestRunsLosesNothing) {
  { serve().write("first"); }
  { serve().write("second"); }
  EXPECT_EQ(found(), "second");
}

TEST_F(BrokerBootTest, AnEndThatTheBrokerDoesNotHearOfHarmsNothing) {
  const auto life = serve();
  life.write("first");
  broker_is_away(true);
  EXPECT_TRUE(life.boot->close());
  EXPECT_TRUE(life.boot->close());
  broker_is_away(false);

  EXPECT_EQ(found(), "first");
}

// A hypervisor waits for the store alone.
TEST_F(BrokerBootTest, TheBrokerHearsOfTheEndAfterTheStoreIsClosed) {
  const auto life = serve();
  life.write("first");
  const auto notices = broker_.notices.size();

  ASSERT_TRUE(life.boot->close_store());

  EXPECT_EQ(broker_.notices.size(), notices);
  EXPECT_EQ(error_code(life.store().load(BlobKind::kPermanent)), ErrorCode::kDenied);
  ASSERT_TRUE(life.boot->close());
  ASSERT_EQ(broker_.notices.size(), notices + 1);
  EXPECT_EQ(broker_.notices.back().kind(), pb::AnchorBody::CLOSED);
  ASSERT_TRUE(life.boot->close());
  EXPECT_EQ(broker_.notices.size(), notices + 1);
  EXPECT_EQ(found(), "first");
}

TEST_F(BrokerBootTest, OfItsEndItTellsABrokerThatIsSilentOnceAndNotForLong) {
  const auto life = serve();
  life.write("first");
  broker_is_away(true);
  broker_.retries_after = std::chrono::seconds(1);
  const auto calls = broker_.calls.size();

  ASSERT_TRUE(life.boot->close());

  EXPECT_EQ(broker_.calls.size(), calls + 1);
  EXPECT_EQ(broker_.limit, BrokerBoot::kEndLimit);
  EXPECT_TRUE(broker_.pauses.empty());
}

TEST_F(BrokerBootTest, ABrokerThatAsksToWaitIsNotAway) {
  document_.offline_rule = OfflineRule::kAllow;
  live("first");
  broker_.retries_after = std::chrono::seconds(1);
  int lost = 0;
  broker_.loses_request = [&](Method method) { return method == Method::kRelease && lost++ < 3; };

  const auto life = begin();

  ASSERT_TRUE(life.started);
  EXPECT_FALSE(life.boot->is_offline());
  EXPECT_EQ(broker_.pauses.size(), 3U);
  lost = 0;
  broker_.loses_request = [&](Method method) { return method == Method::kAnchor && lost++ < 3; };
  EXPECT_TRUE(life.boot->anchor());
  EXPECT_EQ(broker_.pauses.size(), 6U);
}

TEST_F(BrokerBootTest, AStartThatIsStoppedIsNeitherOfflineNorInTrouble) {
  for (const auto rule : {OfflineRule::kDeny, OfflineRule::kAllow}) {
    document_.offline_rule = rule;
    live("first");
    const auto before = bytes();
    broker_.loses_request = [this](Method) { return stop_.request_stop(); };

    const auto life = begin();

    EXPECT_EQ(error_code(life.started), ErrorCode::kUnavailable);
    EXPECT_EQ(life.boot->trouble(), std::nullopt);
    EXPECT_FALSE(life.boot->is_offline());
    EXPECT_EQ(bytes(), before);
    broker_.loses_request = nullptr;
    stop_ = std::stop_source();
  }
}

TEST_F(BrokerBootTest, AMissingStoreIsNeverMadeAgain) {
  live("first");
  std::filesystem::remove(path_);

  const auto life = begin();

  EXPECT_EQ(error_code(life.started), ErrorCode::kNotFound);
  EXPECT_EQ(life.boot->trouble(), Readiness::kStateMissing);
  EXPECT_FALSE(std::filesystem::exists(path_));
}

TEST_F(BrokerBootTest, AStoreWithAPastThatTheBrokerDoesNotKnowIsNotTaken) {
  live("first");
  { serve().write("second"); }  // has an acknowledged anchor in its record
  broker_.anchor.reset();

  expect_refused(Readiness::kForkedState);
}

// Of a broker whose records come from a backup, on a host that has kept no receipt.
TEST_F(BrokerBootTest, TheReceiptInTheStoreIsShownWhereItsStateIsNotKnown) {
  live("first");
  const auto before = *broker_.anchor;
  { serve().write("second"); }  // its record has the receipt of the boot anchor
  const auto newest = *broker_.anchor;
  const auto kept = receipt_;
  for (const auto known :
       {std::optional(before), std::optional<keybroker::client::AnchorPoint>()}) {
    broker_.anchor = known;
    receipt_.clear();
    std::vector<std::string> shown;
    broker_.is_shown = [&](const std::string& receipt) {
      shown.push_back(receipt);
      if (!receipt.empty()) {
        broker_.anchor = newest;
      }
    };

    const auto life = begin();

    ASSERT_TRUE(life.started) << life.started.error().message;
    ASSERT_EQ(shown.size(), 2U);
    EXPECT_EQ(shown[0], "");
    EXPECT_EQ(base::copy_of(base::bytes_of(shown[1])), kept);
    broker_.is_shown = nullptr;
  }
}

TEST_F(BrokerBootTest, AReceiptThatDoesNotHelpIsShownOnce) {
  live("first");
  { serve().write("second"); }
  broker_.anchor.reset();
  receipt_.clear();
  int shown = 0;
  broker_.is_shown = [&](const std::string&) { ++shown; };

  expect_refused(Readiness::kForkedState);

  EXPECT_EQ(shown, 2);
}

TEST_F(BrokerBootTest, AnAllowedRestoreIsUsedOnce) {
  live("first");
  const auto kept = copy("kept");
  const auto point = *broker_.anchor;
  live("second");
  put_back(kept);
  expect_refused(Readiness::kStaleState);

  broker_.allowed_restore = point;
  { ASSERT_TRUE(begin().started); }  // a crash before the anchor does not use it up
  const auto life = serve();
  EXPECT_TRUE(broker_.notices.back().used_restore());
  EXPECT_EQ(life.boot->freshness().restores, 1U);
  EXPECT_EQ(broker_.allowed_restore, std::nullopt);
  life.write("restored");
  ASSERT_TRUE(life.boot->close());

  EXPECT_EQ(found(), "restored");
  put_back(kept);
  expect_refused(Readiness::kStaleState);
}

}  // namespace
}  // namespace vtpm::boot
