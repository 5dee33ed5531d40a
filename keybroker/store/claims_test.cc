// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <thread>

#include "keybroker/store/columns.h"
#include "tests/support/error_code.h"
#include "tests/support/record_fixture.h"

namespace keybroker::store {
namespace {

using base::ErrorCode;
using namespace tests::support;

class ClaimTest : public RecordFixture {};

INSTANTIATE_TEST_SUITE_P(Engines, ClaimTest, engines(), engine_name);

TEST_P(ClaimTest, AClaimMovesTheEpochAndMakesTheBootItsOwner) {
  auto records = open();
  register_one(records);

  const auto claimed = granted(records.claim(claim_of(1, 0), act()));

  EXPECT_EQ(claimed.epoch, 1U);
  EXPECT_FALSE(claimed.repeated);
  EXPECT_EQ(claimed.anchor, std::nullopt);
  EXPECT_EQ(records.vm(kVm)->owner, boot(1));
  EXPECT_EQ(last_line(records).kind, "claimed");
  EXPECT_NE(last_line(records).content.find("\"epoch\":1"), std::string::npos);
}

TEST_P(ClaimTest, ABootThatClaimsAgainKeepsItsEpoch) {
  auto records = open();
  register_one(records);
  granted(records.claim(claim_of(1, 0), act()));

  EXPECT_EQ(granted(records.claim(claim_of(1, 1, 2), act())).epoch, 1U);
  EXPECT_EQ(granted(records.claim(claim_of(2, 1, 3), act())).epoch, 2U);
}

TEST_P(ClaimTest, ARepeatedRequestGetsTheSameEpochAndOneLine) {
  auto records = open();
  register_one(records);
  const auto once = act();
  granted(records.claim(claim_of(1, 0), once));
  const auto line = last_line(records);

  const auto again = granted(records.claim(claim_of(1, 0), once));

  EXPECT_TRUE(again.repeated);
  EXPECT_EQ(again.epoch, 1U);
  EXPECT_EQ(last_line(records), line);
}

TEST_P(ClaimTest, ARepeatedRequestOfAFencedBootHasRaced) {
  auto records = open();
  register_one(records);
  const auto once = act();
  granted(records.claim(claim_of(1, 0), once));
  granted(records.claim(claim_of(2, 1, 2), act()));

  EXPECT_EQ(refused(records.claim(claim_of(1, 0), once)), ClaimRefusal::kRaced);
}

TEST_P(ClaimTest, ARequestIdForOtherBytesIsRefused) {
  auto records = open();
  register_one(records);
  const auto once = act();
  granted(records.claim(claim_of(1, 0), once));
  auto other = claim_of(1, 1, 2);
  other.request_digest.fill(std::byte{0xEE});

  EXPECT_EQ(refused(records.claim(other, once)), ClaimRefusal::kOtherRequest);
}

TEST_P(ClaimTest, AClaimOverAnOldRecordHasRaced) {
  auto records = open();
  register_one(records);
  granted(records.claim(claim_of(1, 0), act()));
  const auto line = last_line(records);

  EXPECT_EQ(refused(records.claim(claim_of(2, 0, 2), act())), ClaimRefusal::kRaced);
  auto changed = claim_of(2, 1, 2);
  changed.conf_version = 7;
  EXPECT_EQ(refused(records.claim(changed, act())), ClaimRefusal::kRaced);
  EXPECT_EQ(last_line(records), line) << "a refused claim left a line";
}

TEST_P(ClaimTest, ANonceIsUsedOnce) {
  auto records = open();
  register_one(records);
  granted(records.claim(claim_of(1, 0, 1), act()));

  EXPECT_EQ(refused(records.claim(claim_of(2, 1, 1), act())), ClaimRefusal::kReplayedNonce);

  EXPECT_EQ(records.vm(kVm)->epoch, 1U) << "the epoch moved although the nonce was used";
  EXPECT_EQ(records.vm(kVm)->owner, boot(1));
  EXPECT_EQ(*records.forget_ended(kNow + std::chrono::minutes(59)), 0U);
  EXPECT_EQ(*records.forget_ended(kNow + std::chrono::hours(2)), 1U);
}

TEST_P(ClaimTest, WhatIsNotThereOrDisabledIsRefused) {
  auto records = open();
  register_one(records);
  auto unknown = claim_of(1, 0);
  unknown.vm_id = id(0x66);
  EXPECT_EQ(refused(records.claim(unknown, act())), ClaimRefusal::kUnknownVm);

  ASSERT_TRUE(records.disable_vm(kVm, act()));
  EXPECT_EQ(refused(records.claim(claim_of(1, 0), act())), ClaimRefusal::kDisabled);
  ASSERT_TRUE(records.enable_vm(kVm, act()));
  EXPECT_EQ(granted(records.claim(claim_of(1, 0), act())).epoch, 1U);
}

TEST_P(ClaimTest, ALeaseKeepsOthersOutUntilItEnds) {
  auto records = open();
  register_one(records);
  auto first = claim_of(1, 0);
  first.lease_until = kNow + std::chrono::minutes(10);
  granted(records.claim(first, act()));

  EXPECT_EQ(refused(records.claim(claim_of(2, 1, 2), act())), ClaimRefusal::kLeaseRunning);
  EXPECT_EQ(
      granted(records.claim(claim_of(2, 1, 2), act_at(kNow + std::chrono::minutes(10)))).epoch, 2U);
}

// The tenant has disabled the VM, and somebody who can write the database says otherwise.
TEST_P(ClaimTest, NothingIsAnchoredOverARowThatTheBrokerDidNotWrite) {
  auto records = open();
  register_one(records);
  granted(records.claim(claim_of(1, 0), act()));
  ASSERT_TRUE(records.disable_vm(kVm, act()));
  ASSERT_TRUE(records.sql().execute("UPDATE vm SET status = 'active'", {}));

  EXPECT_EQ(error_code(records.anchor(anchor_of(1, 1, 5), act())), ErrorCode::kAuthentication);

  EXPECT_TRUE(records.sql().execute("SELECT seq FROM anchor", {})->empty());
  EXPECT_EQ(last_line(records).kind, "disabled");
}

TEST_P(ClaimTest, AnAnchorIsTheOwnersAndGoesForward) {
  auto records = open();
  register_one(records);
  granted(records.claim(claim_of(1, 0), act()));

  EXPECT_EQ(granted(records.anchor(anchor_of(1, 1, 5), act())).restores, 0U);
  EXPECT_EQ(refused(records.anchor(anchor_of(1, 1, 5), act())), AnchorRefusal::kStale);
  EXPECT_EQ(refused(records.anchor(anchor_of(2, 1, 6), act())), AnchorRefusal::kFenced);
  EXPECT_EQ(refused(records.anchor(anchor_of(1, 2, 6), act())), AnchorRefusal::kFenced);
  auto unknown = anchor_of(1, 1, 6);
  unknown.vm_id = id(0x66);
  EXPECT_EQ(refused(records.anchor(unknown, act())), AnchorRefusal::kUnknownVm);
  EXPECT_EQ(records.vm(kVm)->anchor, (Anchor{1, anchor_of(1, 1, 5).state}));
  EXPECT_EQ(last_line(records).kind, "anchored");

  auto closing = anchor_of(1, 1, 6);
  closing.kind = AnchorKind::kClose;
  closing.ak_name = {};
  granted(records.anchor(closing, act()));
  EXPECT_EQ(records.vm(kVm)->ak_name, anchor_of(1, 1, 5).ak_name);
  EXPECT_EQ(last_line(records).kind, "closed");
}

TEST_P(ClaimTest, TheNextBootGetsTheAnchorAndMayNotGoBelowIt) {
  auto records = open();
  register_one(records);
  granted(records.claim(claim_of(1, 0), act()));
  granted(records.anchor(anchor_of(1, 1, 5), act()));

  EXPECT_EQ(granted(records.claim(claim_of(2, 1, 2), act())).anchor,
            (Anchor{1, anchor_of(1, 1, 5).state}));
  EXPECT_EQ(refused(records.anchor(anchor_of(1, 1, 6), act())), AnchorRefusal::kFenced);
  EXPECT_EQ(refused(records.anchor(anchor_of(2, 2, 5), act())), AnchorRefusal::kStale);
  granted(records.anchor(anchor_of(2, 2, 6), act()));
}

TEST_P(ClaimTest, ARepeatedAnchorGetsTheAnswerThatWasKept) {
  auto records = open();
  register_one(records);
  granted(records.claim(claim_of(1, 0), act()));
  const auto once = act();
  granted(records.anchor(anchor_of(1, 1, 5), once));
  EXPECT_TRUE(granted(records.anchor(anchor_of(1, 1, 5), once)).answer.empty());
  const base::Bytes receipt(9, std::byte{9});
  ASSERT_TRUE(records.keep_answer(kVm, once.request_id, receipt));
  granted(records.anchor(anchor_of(1, 1, 6), act()));

  const auto again = granted(records.anchor(anchor_of(1, 1, 5), once));

  EXPECT_TRUE(again.repeated);
  EXPECT_EQ(again.answer, receipt);
  EXPECT_EQ(records.vm(kVm)->anchor->state.sequence, 6U);
  auto other = anchor_of(1, 1, 7);
  other.request_digest.fill(std::byte{0xEE});
  EXPECT_EQ(refused(records.anchor(other, once)), AnchorRefusal::kOtherRequest);
  EXPECT_EQ(error_code(records.keep_answer(kVm, {}, receipt)), ErrorCode::kNotFound);
}

TEST_P(ClaimTest, ARestoreIsAllowedOnceAndCounted) {
  auto records = open();
  register_one(records);
  granted(records.claim(claim_of(1, 0), act()));
  granted(records.anchor(anchor_of(1, 1, 5), act()));
  granted(records.anchor(anchor_of(1, 1, 9), act_at(kNow + std::chrono::hours(1))));
  const auto old = records.anchor_at(kVm, kNow + std::chrono::minutes(30));
  ASSERT_TRUE(old);
  EXPECT_EQ(old->state, anchor_of(1, 1, 5).state);
  EXPECT_EQ(error_code(records.anchor_at(kVm, kNow - std::chrono::seconds(1))),
            ErrorCode::kNotFound);

  const auto end = kNow + std::chrono::hours(2);
  ASSERT_TRUE(records.allow_restore(kVm, old->state, end, act()));
  EXPECT_EQ(granted(records.claim(claim_of(2, 1, 2), act_at(end))).restore, old->state);
  EXPECT_EQ(
      granted(records.claim(claim_of(3, 2, 3), act_at(end + std::chrono::seconds(1)))).restore,
      std::nullopt);
  EXPECT_EQ(refused(records.anchor(anchor_of(3, 3, 6), act())), AnchorRefusal::kStale);
  auto restored = anchor_of(3, 3, 6);
  restored.used_restore = true;
  EXPECT_EQ(granted(records.anchor(restored, act())).restores, 1U);

  const auto next = granted(records.claim(claim_of(4, 3, 4), act()));
  EXPECT_EQ(next.restores, 1U);
  EXPECT_EQ(next.restore, std::nullopt);
  EXPECT_EQ(next.anchor, (Anchor{3, restored.state}));
  auto twice = anchor_of(4, 4, 7);
  twice.used_restore = true;
  EXPECT_EQ(refused(records.anchor(twice, act())), AnchorRefusal::kStale);
}

TEST_P(ClaimTest, AReceiptMovesTheRecordForwardOnly) {
  auto records = open();
  register_one(records);
  granted(records.claim(claim_of(1, 0), act()));
  granted(records.anchor(anchor_of(1, 1, 5), act()));
  const auto line = last_line(records);

  EXPECT_FALSE(*records.accept_receipt(kVm, {1, anchor_of(1, 1, 4).state}, 0, act()));
  EXPECT_FALSE(*records.accept_receipt(kVm, {1, anchor_of(1, 1, 5).state}, 0, act()));
  EXPECT_EQ(last_line(records), line);
  EXPECT_TRUE(*records.accept_receipt(kVm, {7, anchor_of(1, 7, 3).state}, 2, act()));

  const auto record = *records.vm(kVm);
  EXPECT_EQ(record.anchor, (Anchor{7, anchor_of(1, 7, 3).state}));
  EXPECT_EQ(record.epoch, 7U);
  EXPECT_EQ(record.owner, std::nullopt);
  EXPECT_EQ(record.restores, 2U);
  EXPECT_EQ(last_line(records).kind, "receipt-accepted");
  EXPECT_EQ(refused(records.anchor(anchor_of(1, 1, 6), act())), AnchorRefusal::kFenced);
  EXPECT_EQ(granted(records.claim(claim_of(1, 7, 2), act())).epoch, 8U);
}

TEST_P(ClaimTest, ACloneMayHaveTheSourcesKeyUntilItAnchors) {
  auto records = open();
  register_one(records);
  auto clone = registration();
  clone.vm_id = id(0x55);
  clone.cloned_from = kVm;
  ASSERT_TRUE(records.register_vm(clone, key(), act()));
  EXPECT_TRUE(records.vm(clone.vm_id)->clone_pending);
  EXPECT_FALSE(records.vm(kVm)->clone_pending);
  auto claim = claim_of(1, 0);
  claim.vm_id = clone.vm_id;
  granted(records.claim(claim, act()));
  EXPECT_TRUE(records.vm(clone.vm_id)->clone_pending);
  auto anchor = anchor_of(1, 1, 5);
  anchor.vm_id = clone.vm_id;
  granted(records.anchor(anchor, act()));
  EXPECT_FALSE(records.vm(clone.vm_id)->clone_pending);
}

TEST_P(ClaimTest, NumbersThatTheColumnsCannotHoldAreRefused) {
  auto records = open();
  register_one(records);
  EXPECT_EQ(error_code(records.claim(claim_of(1, std::uint64_t{1} << 63), act())),
            ErrorCode::kInvalidArgument);
  EXPECT_EQ(error_code(records.anchor(anchor_of(1, 1, std::uint64_t{1} << 63), act())),
            ErrorCode::kInvalidArgument);
  EXPECT_EQ(error_code(records.accept_receipt(kVm, {1, {~std::uint64_t{0}, {}}}, 0, act())),
            ErrorCode::kInvalidArgument);
}

// Every round two boots claim what they both saw; the records must never let both have it.
TEST_P(ClaimTest, OfTwoClaimsThatRaceExactlyOneWins) {
  constexpr int kRounds = 40;
  auto records = open();
  register_one(records);
  auto second_records = open();
  int raced = 0;
  for (int round = 0; round < kRounds; ++round) {
    const auto epoch = static_cast<std::uint64_t>(round);
    const auto a =
        claim_of(static_cast<std::uint8_t>(2 * round), epoch, static_cast<std::uint8_t>(2 * round));
    const auto b = claim_of(static_cast<std::uint8_t>(2 * round + 1), epoch,
                            static_cast<std::uint8_t>(2 * round + 1));
    const Act act_a = act();
    const Act act_b = act();
    std::optional<base::Result<ClaimOutcome>> other;
    std::thread thread([&] { other = second_records.claim(b, act_b); });
    const auto first = records.claim(a, act_a);
    thread.join();
    ASSERT_TRUE(first) << first.error().message;
    ASSERT_TRUE(*other) << other->error().message;
    const bool first_won = std::holds_alternative<Claimed>(*first);
    const bool second_won = std::holds_alternative<Claimed>(**other);
    ASSERT_NE(first_won, second_won) << "round " << round;
    EXPECT_EQ(std::get<ClaimRefusal>(first_won ? **other : *first), ClaimRefusal::kRaced);
    EXPECT_EQ(records.vm(kVm)->owner, first_won ? a.boot_id : b.boot_id);
    EXPECT_EQ(records.vm(kVm)->epoch, epoch + 1);
    raced += first_won ? 0 : 1;
  }
  RecordProperty("second_connection_won", raced);
  EXPECT_EQ(*verify_chain(records.sql(), vm_subject(kVm)), 1U + kRounds);
}

// One pass once dropped ten thousand at most, in ten minutes: less than nine boots a second leave.
TEST_P(ClaimTest, AllThatHasEndedIsForgottenAtOnce) {
  auto records = open();
  auto& sql = records.sql();
  const auto random = sql.is_sqlite() ? std::string("randomblob(16)")
                                      : std::string("decode(md5(random()::text), 'hex')");
  const auto many =
      "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10050) ";
  ASSERT_TRUE(sql.execute(
      many + ("INSERT INTO request SELECT " + random) + ", $1, 'claimed', $1, $1, 0, $2 FROM n",
      {value_of(kVm), value_of(kNow)}));
  ASSERT_TRUE(sql.execute(many + ("INSERT INTO nonce_used SELECT " + random) + ", $1, $2 FROM n",
                          {value_of(Nonce{}), value_of(kNow)}));
  const auto count = [&sql](std::string_view statement) {
    return std::get<std::int64_t>(sql.execute(statement, {})->at(0).at(0));
  };

  EXPECT_EQ(*records.forget_ended(kNow + std::chrono::hours(1)), 0U);
  EXPECT_EQ(*records.forget_ended(kNow + std::chrono::hours(24)), 10'050U);
  EXPECT_EQ(count("SELECT count(*) FROM nonce_used"), 0);
  EXPECT_EQ(*records.forget_ended(kNow + std::chrono::hours(8 * 24)), 10'050U);
  EXPECT_EQ(count("SELECT count(*) FROM request"), 0);
}

}  // namespace
}  // namespace keybroker::store
