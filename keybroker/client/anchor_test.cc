// SPDX-License-Identifier: Apache-2.0
#include "keybroker/client/anchor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "tests/support/fake_broker.h"

namespace keybroker::client {
namespace {

namespace pb = strongroom::broker::v1;
using base::ErrorCode;
using testing::HasSubstr;
using tests::support::FakeBroker;

constexpr protocol::Uuid kVm{std::byte{0x11}};

class AnchorTest : public testing::Test {
 protected:
  AnchorTest() {
    boot_.belief = {.vm_id = kVm, .broker_roots = {broker_.root()}};
    boot_.boot_id.fill(std::byte{0x33});
    boot_.launch_digest = base::Bytes(48, std::byte{0x44});
    released_ = *ask_for_release(
        broker_, boot_, [](const auto&) { return base::Result<ShownEvidence>(ShownEvidence{}); },
        {}, Patience(std::chrono::milliseconds(0)), {});
  }

  [[nodiscard]] AnchorRequest request(AnchorKind kind, std::uint64_t sequence = 7) const {
    Notice notice{.kind = kind, .sequence = sequence};
    notice.digest.fill(std::byte{0x55});
    return *AnchorRequest::make(boot_, released_->epoch, released_->boot_key, std::move(notice));
  }

  void expect_away(const AnchorRequest& request, const std::string& why) {
    const auto anchored = request.send(broker_, {});
    ASSERT_FALSE(anchored) << why;
    EXPECT_EQ(anchored.error().code, ErrorCode::kUnavailable) << why;
    EXPECT_THAT(anchored.error().message, HasSubstr(why));
  }

  FakeBroker broker_{kVm};
  Boot boot_;
  std::optional<Released> released_;
};

TEST_F(AnchorTest, IsNotedAndComesBackWithItsReceipt) {
  const auto anchored = request(AnchorKind::kBoot).send(broker_, {});

  ASSERT_TRUE(anchored) << anchored.error().message;
  const auto& noted = std::get<Anchored>(*anchored);
  const auto receipt = open_receipt(noted.receipt, boot_.belief);
  ASSERT_TRUE(receipt) << receipt.error().message;
  EXPECT_EQ(receipt->anchor, *broker_.anchor);
  EXPECT_EQ(broker_.anchor->epoch, 1U);
  EXPECT_EQ(broker_.anchor->sequence, 7U);
  EXPECT_EQ(broker_.notices.back().kind(), pb::AnchorBody::BOOT);
}

TEST_F(AnchorTest, SaysOfARestoreAndOfCertificatesThatAreWanted) {
  Notice notice{.kind = AnchorKind::kBoot, .sequence = 1, .used_restore = true};
  notice.certification.emplace().set_hcl_report("hcl");
  const auto anchored =
      AnchorRequest::make(boot_, 1, released_->boot_key, std::move(notice))->send(broker_, {});

  ASSERT_TRUE(anchored);
  EXPECT_EQ(std::get<Anchored>(*anchored).restores, 1U);
  EXPECT_TRUE(broker_.notices.back().used_restore());
  EXPECT_EQ(broker_.notices.back().certification().hcl_report(), "hcl");
}

TEST_F(AnchorTest, ACondemnationHasTheStateAndNoReceipt) {
  broker_.changes_answer = [](pb::Answer& answer) {
    answer.mutable_anchored()->set_wants_certification(true);
  };
  const auto told = request(AnchorKind::kCondemned, 3).send(broker_, {});

  ASSERT_TRUE(told) << told.error().message;
  EXPECT_TRUE(std::get<Anchored>(*told).receipt.empty());
  EXPECT_TRUE(std::get<Anchored>(*told).wants_certification);
  EXPECT_EQ(broker_.notices.back().kind(), pb::AnchorBody::CONDEMNED);
  EXPECT_EQ(broker_.notices.back().sequence(), 3U);
  EXPECT_FALSE(broker_.anchor);
}

TEST_F(AnchorTest, IsCarriedOutOnceHoweverOftenItIsSent) {
  const auto once = request(AnchorKind::kBoot);
  broker_.loses_answer = [](Method) { return true; };
  expect_away(once, "away");
  broker_.loses_answer = nullptr;

  for (int i = 0; i < 2; ++i) {
    const auto again = once.send(broker_, {});
    ASSERT_TRUE(again) << again.error().message;
    EXPECT_TRUE(std::holds_alternative<Anchored>(*again));
  }
  // Another request for the same point is another matter.
  EXPECT_TRUE(std::holds_alternative<Refusal>(*request(AnchorKind::kBoot).send(broker_, {})));
}

TEST_F(AnchorTest, ARefusalComesInTheBrokersWords) {
  broker_.owner.clear();  // another start has claimed the VM

  const auto refused = request(AnchorKind::kBoot).send(broker_, {});

  ASSERT_TRUE(refused);
  EXPECT_EQ(std::get<Refusal>(*refused).reason, "fenced");
  EXPECT_EQ(std::get<Refusal>(*refused).error().code, ErrorCode::kDenied);
}

TEST_F(AnchorTest, WithoutTheBootKeyItIsNobodys) {
  const BootKey other{base::Secret<32>::zero()};
  const auto forged = AnchorRequest::make(boot_, 1, other, {.kind = AnchorKind::kBoot});
  EXPECT_EQ(std::get<Refusal>(*forged->send(broker_, {})).reason, "mac");
}

TEST_F(AnchorTest, TakesNoReceiptForAnythingElse) {
  const auto take = [&](const AnchorRequest& asked) {
    std::string receipt;
    broker_.changes_answer = [&](pb::Answer& answer) { receipt = answer.anchored().receipt(); };
    EXPECT_TRUE(asked.send(broker_, {}));
    return receipt;
  };
  const auto of_boot = take(request(AnchorKind::kBoot, 7));
  const auto of_close = take(request(AnchorKind::kClosed, 8));
  for (const auto& other : {of_boot, of_close, of_boot + "x", std::string()}) {
    broker_.anchor.reset();
    broker_.changes_answer = [&](pb::Answer& answer) {
      answer.mutable_anchored()->set_receipt(other);
    };
    expect_away(request(AnchorKind::kBoot, 8), "receipt");
  }
  broker_.anchor.reset();
  broker_.changes_answer = [](pb::Answer& answer) {
    answer.mutable_anchored()->set_receipt(std::string(kMaxReceiptBytes + 1, 'x'));
  };
  expect_away(request(AnchorKind::kBoot, 8), "a receipt of");
}

TEST_F(AnchorTest, ARenewalMovesNoAnchorAndHasNoReceipt) {
  const auto anchored = request(AnchorKind::kRenewal).send(broker_, {});

  ASSERT_TRUE(anchored) << anchored.error().message;
  EXPECT_TRUE(std::get<Anchored>(*anchored).receipt.empty());
  EXPECT_FALSE(broker_.anchor);
  EXPECT_EQ(broker_.notices.back().sequence(), 0U);
  EXPECT_TRUE(broker_.notices.back().digest().empty());
}

TEST_F(AnchorTest, AReceiptIsOfThisVmAndOfABelievedBroker) {
  const auto receipt = std::get<Anchored>(*request(AnchorKind::kBoot).send(broker_, {})).receipt;

  auto belief = boot_.belief;
  belief.vm_id[0] ^= std::byte{1};
  EXPECT_FALSE(open_receipt(receipt, belief));
  belief = boot_.belief;
  belief.broker_roots = {FakeBroker(kVm).root()};
  EXPECT_FALSE(open_receipt(receipt, belief));
  EXPECT_FALSE(open_receipt({}, boot_.belief));
}

}  // namespace
}  // namespace keybroker::client
