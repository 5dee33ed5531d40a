// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/broker_boot_case.h"

namespace vtpm::boot {
namespace {

using namespace tests::support::broker_boot;
using testing::HasSubstr;

class RejoinTest : public BrokerBootCase {
 protected:
  RejoinTest() { document_.offline_rule = OfflineRule::kAllow; }

  // A start that is served without the broker, which is there again afterwards.
  Life serve_offline() {
    broker_is_away(true);
    auto life = begin();
    EXPECT_TRUE(life.started) << life.started.error().message;
    EXPECT_TRUE(life.boot->is_offline());
    broker_is_away(false);
    return life;
  }

  static base::Result<void> rejoin(const Life& life) {
    return life.boot->rejoin([](const std::function<void()>& work) { work(); }, {});
  }
};

TEST_F(RejoinTest, AnOfflineBootBecomesFreshWhileItsGuestRuns) {
  live("first");
  const auto life = serve_offline();
  life.write("offline");

  EXPECT_THAT(life.boot->opened_by(), HasSubstr("nothing says"));
  EXPECT_FALSE(life.boot->has_rejoined());

  ASSERT_TRUE(rejoin(life));

  const auto now = life.store().volume().commit_sequence();

  EXPECT_FALSE(life.boot->is_offline());
  EXPECT_TRUE(life.boot->has_rejoined());
  EXPECT_THAT(life.boot->opened_by(), HasSubstr("newest state since"));
  EXPECT_EQ(broker_.notices.back().kind(), pb::AnchorBody::BOOT);
  EXPECT_EQ(broker_.notices.back().sequence(), now);
  const auto claim = life.boot->freshness();
  EXPECT_EQ(claim.state, protocol::FreshnessState::kFresh);
  EXPECT_EQ(claim.epoch, broker_.epoch);
  EXPECT_EQ(claim.acked, now);
  EXPECT_EQ(claim.offline_boots, 0U);
  EXPECT_NE(life.boot->kek(), "");

  life.write("fresh");
  ASSERT_TRUE(life.boot->close());
  EXPECT_EQ(broker_.notices.back().kind(), pb::AnchorBody::CLOSED);
  EXPECT_EQ(found(), "fresh");
}

TEST_F(RejoinTest, AnOlderStateIsFoundOutLate) {
  live("first");
  const auto older = copy("older");
  live("second");
  put_back(older);
  const auto life = serve_offline();
  const auto opened = life.store().volume().commit_sequence();
  life.write("on an old copy");
  const auto notices = broker_.notices.size();

  EXPECT_EQ(error_code(rejoin(life)), ErrorCode::kDenied);

  EXPECT_EQ(life.boot->trouble(), Readiness::kStaleState);
  EXPECT_TRUE(life.boot->is_offline());
  EXPECT_EQ(broker_.notices.size(), notices);
  EXPECT_EQ(error_code(rejoin(life)), ErrorCode::kDenied) << "it stays so";

  ASSERT_TRUE(life.boot->tell_condemned({}));
  ASSERT_TRUE(life.boot->tell_condemned({})) << "once";
  ASSERT_EQ(broker_.notices.size(), notices + 1);
  EXPECT_EQ(broker_.notices.back().kind(), pb::AnchorBody::CONDEMNED);
  EXPECT_EQ(broker_.notices.back().sequence(), opened);
  EXPECT_NE(broker_.anchor->sequence, opened) << "what was noted stays";
}

TEST_F(RejoinTest, AnotherLineIsForkedHoweverFarItWent) {
  live("first");
  const auto copied = copy("copied");
  live("second");
  put_back(copied);
  const auto life = serve_offline();
  for (int i = 0; i < 10; ++i) {
    life.write("far ahead");
  }

  EXPECT_EQ(error_code(rejoin(life)), ErrorCode::kDenied) << "what was opened counts";
}

TEST_F(RejoinTest, ASignedRefusalEndsIt) {
  live("first");
  const auto life = serve_offline();
  broker_.refuses_release = "revoked";

  EXPECT_EQ(error_code(rejoin(life)), ErrorCode::kDenied);
  EXPECT_EQ(life.boot->trouble(), Readiness::kBrokerRefused);
  const auto notices = broker_.notices.size();
  EXPECT_TRUE(life.boot->tell_condemned({}));
  EXPECT_EQ(broker_.notices.size(), notices) << "the broker knows";
}

TEST_F(RejoinTest, WhereTheBrokerIsStillAwayItIsTriedAgain) {
  live("first");
  const auto life = serve_offline();
  broker_is_away(true);
  EXPECT_EQ(error_code(rejoin(life)), ErrorCode::kUnavailable);
  EXPECT_EQ(life.boot->trouble(), std::nullopt);
  broker_is_away(false);

  ASSERT_TRUE(rejoin(life));
  EXPECT_FALSE(life.boot->is_offline());
}

TEST_F(RejoinTest, ANoticeWhoseAnswerIsLostIsSentAgain) {
  live("first");
  const auto life = serve_offline();
  life.write("offline");
  broker_.loses_answer = [](Method method) { return method == Method::kAnchor; };
  EXPECT_EQ(error_code(rejoin(life)), ErrorCode::kUnavailable);
  EXPECT_TRUE(life.boot->is_offline());
  broker_.loses_answer = nullptr;
  const auto id = broker_.notices.back().request_id();
  life.write("meanwhile");

  ASSERT_TRUE(rejoin(life));

  EXPECT_EQ(broker_.notices.back().request_id(), id);
  EXPECT_FALSE(life.boot->is_offline());
}

TEST_F(RejoinTest, ACrashWhileTheNoticeIsOutLeavesTheLineWhole) {
  live("first");
  {
    const auto life = serve_offline();
    life.write("offline");
    broker_.loses_answer = [](Method method) { return method == Method::kAnchor; };
    EXPECT_FALSE(rejoin(life));
    broker_.loses_answer = nullptr;
    life.write("after it");
  }
  EXPECT_EQ(found(), "after it");
}

TEST_F(RejoinTest, APowerCutAfterItAndAnotherOfflineBootLeaveTheLineWhole) {
  live("first");
  {
    const auto life = serve_offline();
    life.write("offline");
    ASSERT_TRUE(rejoin(life));
  }
  {
    const auto life = serve_offline();
    life.write("offline again");
  }
  EXPECT_EQ(found(), "offline again");
}

// A broker whose records come from a backup, and a host without the receipt: such a VM was
// condemned, its certificates revoked, and its next start was well.
TEST_F(RejoinTest, TheReceiptInTheStoreIsShownWhereItsStateIsNotKnown) {
  live("first");
  const auto before = *broker_.anchor;
  { serve().write("second"); }
  const auto newest = *broker_.anchor;
  receipt_.clear();
  const auto life = serve_offline();
  broker_.anchor = before;
  broker_.is_shown = [&](const std::string& receipt) {
    if (!receipt.empty()) {
      broker_.anchor = newest;
    }
  };

  ASSERT_TRUE(rejoin(life));

  EXPECT_FALSE(life.boot->is_offline());
  EXPECT_EQ(life.boot->trouble(), std::nullopt);
}

TEST_F(RejoinTest, AfterACommitThatHasFailedTheStoreIsOpenedAnew) {
  live("first");
  const auto life = serve_offline();
  const auto moved = folder_ / "moved";
  std::filesystem::rename(path_, moved);
  EXPECT_FALSE(life.store().store(BlobKind::kPermanent, base::bytes_of("lost")));
  std::filesystem::rename(moved, path_);
  const auto notices = broker_.notices.size();

  ASSERT_TRUE(rejoin(life));

  EXPECT_EQ(broker_.notices.size(), notices + 1);
  const auto durable = life.store().state();
  ASSERT_TRUE(durable);
  EXPECT_EQ(broker_.anchor->sequence, durable->sequence) << "what the disk holds is noted";
}

// The host takes the store away while the broker's answer is on its way.
TEST_F(RejoinTest, AStoreThatIsGoneByThenIsNotLookedAt) {
  live("first");
  const auto life = serve_offline();
  broker_.loses_answer = [&](Method method) {
    if (method == Method::kAnchor) {
      std::filesystem::rename(path_, folder_ / "moved");
      EXPECT_FALSE(life.store().store_flash(base::bytes_of("lost")));
      EXPECT_FALSE(life.store().store_flash(base::bytes_of("lost"))) << "it cannot be opened again";
    }
    return false;
  };

  (void)rejoin(life);

  EXPECT_EQ(life.boot->freshness().sequence, 0U);
}

}  // namespace
}  // namespace vtpm::boot
