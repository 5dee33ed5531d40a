// SPDX-License-Identifier: Apache-2.0
#include <array>

#include "tests/integration/broker_boot_case.h"
#include "tests/support/error_code.h"

namespace tests::integration {
namespace {

using base::ErrorCode;
using protocol::Readiness;
using protocol::TeeFamily;
using support::error_code;

using BrokerBootTest = BrokerBootCase;

TEST_P(BrokerBootTest, KeepsAVmOverItsStarts) {
  live("first");
  live("second");
  EXPECT_EQ(found(), "second");
  const auto record = *at_.records.vm(document_.vm_id);
  EXPECT_EQ(record.epoch, 3U);
}

TEST_P(BrokerBootTest, AnOldFileIsStaleAfterTheBootAnchorAndAfterTheClose) {
  live("first");
  copy("closed");
  {
    const auto life = serve();
    copy("booted");
  }
  put_back("closed");
  expect_refused(Readiness::kStaleState);
  put_back("booted");
  EXPECT_EQ(found(), "first");
  live("second");
  put_back("booted");
  expect_refused(Readiness::kStaleState);
}

TEST_P(BrokerBootTest, OfTwoClonesTheLaterOneFencesTheOther) {
  live("first");
  copy("clone");
  const auto original = serve();
  write(original, "of the original");
  // The clone's file is one from before the original's anchor.
  const auto its_own = path_;
  path_ = folder_ / "clone";
  expect_refused(Readiness::kStaleState);
  path_ = its_own;

  // A refused clone has claimed the VM nevertheless: the original's last word is refused, and its
  // state still descends from its anchor.
  EXPECT_TRUE(original.boot->close());
  EXPECT_EQ(found(), "of the original");
}

TEST_P(BrokerBootTest, AStartIsNotServedOnceAnotherHasClaimedTheVm) {
  live("first");
  copy("clone");
  const auto first = begin();
  const auto its_own = path_;
  path_ = folder_ / "clone";
  const auto second = serve();
  path_ = its_own;

  EXPECT_EQ(error_code(first.boot->anchor()), ErrorCode::kDenied);
  EXPECT_EQ(first.boot->trouble(), Readiness::kBrokerRefused);
}

TEST_P(BrokerBootTest, ACrashBetweenAnyTwoStepsIsForgiven) {
  { const auto made = begin(); }  // before the first anchor: made anew
  { const auto life = serve(); }  // after it
  live("first");
  { const auto claimed = begin(); }
  for (const bool arrives : {false, true}) {
    const auto life = begin();
    ASSERT_FALSE(life.error) << life.error->message;
    // A message that is cut off is as good as lost.
    life.road->on_the_way = [&](client::Method method, base::Bytes& message) {
      if (method == client::Method::kAnchor && !arrives) {
        message.resize(message.size() / 2);
      }
    };
    if (arrives) {
      EXPECT_TRUE(life.boot->anchor());
    } else {
      EXPECT_FALSE(life.boot->anchor());
    }
    write(life, arrives ? "arrived" : "lost");
  }
  EXPECT_EQ(found(), "arrived");
}

TEST_P(BrokerBootTest, WhoeverDoesNotEarnTheKeyDoesNotGetIt) {
  live("first");
  const auto digest = at_.put(kDenying);
  const std::array<protocol::Sha256Digest, 1> denying{digest};
  ASSERT_TRUE(broker::set_policies(at_.records, kTenant, document_.vm_id, denying, at_.act()));

  expect_refused(Readiness::kBrokerRefused);
}

TEST_P(BrokerBootTest, AnAllowedRestoreComesBackOnce) {
  live("first");
  copy("kept");
  const auto receipt = receipt_;
  live("second");
  put_back("kept");
  expect_refused(Readiness::kStaleState);

  const auto allowed =
      broker::allow_restore_by_receipt(at_.records, kTenant, document_.vm_id, receipt,
                                       at_.rules.receipt_roots, broker::kRestoreLife, at_.act());
  ASSERT_TRUE(allowed) << allowed.error().message;
  {
    const auto life = serve();
    EXPECT_EQ(life.boot->freshness().restores, 1U);
    write(life, "restored");
    ASSERT_TRUE(life.boot->close());
  }
  EXPECT_EQ(found(), "restored");
  put_back("kept");
  expect_refused(Readiness::kStaleState);
}

TEST_P(BrokerBootTest, AMissingStoreIsNotMadeAgain) {
  live("first");
  std::filesystem::remove(path_);
  expect_refused(Readiness::kStateMissing);
}

INSTANTIATE_TEST_SUITE_P(Families, BrokerBootTest,
                         testing::Values(TeeFamily::kSevSnp, TeeFamily::kTdx),
                         [](const auto& family) {
                           return family.param == TeeFamily::kSevSnp ? "Snp" : "Tdx";
                         });

}  // namespace
}  // namespace tests::integration
