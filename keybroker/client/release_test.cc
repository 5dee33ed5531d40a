// SPDX-License-Identifier: Apache-2.0
#include "keybroker/client/release.h"

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

constexpr protocol::Uuid kVm{std::byte{0x11}, std::byte{0x22}};

class ReleaseTest : public testing::Test {
 protected:
  ReleaseTest() {
    boot_.belief = {.vm_id = kVm, .broker_roots = {broker_.root()}};
    boot_.boot_id.fill(std::byte{0x33});
    boot_.launch_digest = base::Bytes(32, std::byte{0x44});
  }

  base::Result<Released> ask(base::ByteView receipt = {}) {
    return ask_for_release(
        broker_, boot_,
        [this](const std::array<std::byte, 64>& report_data) -> base::Result<ShownEvidence> {
          report_data_ = report_data;
          return ShownEvidence{.report = base::copy_of(base::bytes_of("a report")),
                               .certificate_table = base::copy_of(base::bytes_of("a table"))};
        },
        receipt, patience_, stop_.get_token());
  }

  // What comes of an answer that is no answer of the broker's to this.
  void expect_away(const std::string& why) {
    const auto released = ask();
    ASSERT_FALSE(released) << why;
    EXPECT_EQ(released.error().code, ErrorCode::kUnavailable) << why;
    EXPECT_THAT(released.error().message, HasSubstr(why));
  }

  FakeBroker broker_{kVm};
  Boot boot_;
  std::array<std::byte, 64> report_data_{};
  Patience patience_{std::chrono::milliseconds(0)};
  std::stop_source stop_;
};

TEST_F(ReleaseTest, GivesTheKeysAndTheTermsToTheOneThatAsked) {
  broker_.anchor = AnchorPoint{.epoch = 4, .sequence = 9, .digest = {std::byte{5}}};
  broker_.allowed_restore = AnchorPoint{.epoch = 2, .sequence = 3, .digest = {std::byte{6}}};
  broker_.epoch = 4;
  broker_.restores = 1;
  for (const auto algorithm :
       {protocol::TransferAlgorithm::kEcdhP384, protocol::TransferAlgorithm::kRsa3072OaepSha384}) {
    boot_.transfer_algorithm = algorithm;

    const auto released = ask();

    ASSERT_TRUE(released) << released.error().message;
    EXPECT_EQ(released->epoch, 5U);
    EXPECT_EQ(released->anchor, broker_.anchor);
    EXPECT_EQ(released->allowed_restore, broker_.allowed_restore);
    EXPECT_EQ(released->restores, 1U);
    EXPECT_TRUE(std::ranges::equal(released->vm_key.bytes.expose(), broker_.vm_key));
    EXPECT_FALSE(released->boot_key.bytes.is_all_zero());
  }
}

TEST_F(ReleaseTest, ShowsEvidenceOverClaimsThatNameAllThatMatters) {
  ASSERT_TRUE(ask(base::bytes_of("a receipt")));

  const auto& request = *broker_.release;
  const auto claims = protocol::decode_release_claims(base::bytes_of(request.claims()));
  ASSERT_TRUE(claims) << claims.error().message;
  EXPECT_EQ(claims->vm_id, kVm);
  EXPECT_EQ(claims->boot_id, boot_.boot_id);
  EXPECT_EQ(claims->challenge, base::copy_of(base::bytes_of("challenge 1")));
  EXPECT_EQ(claims->launch_digest, boot_.launch_digest);
  EXPECT_EQ(report_data_, protocol::release_report_data(base::bytes_of(request.claims())));
  EXPECT_EQ(request.request_id().size(), 16U);
  EXPECT_EQ(request.report(), "a report");
  EXPECT_EQ(request.certificate_table(), "a table");
  EXPECT_EQ(request.receipt(), "a receipt");
}

TEST_F(ReleaseTest, ASignedRefusalIsDeniedWithTheBrokersWords) {
  broker_.refuses_release = "measurement";
  broker_.changes_answer = [](pb::Answer& answer) {
    answer.mutable_refused()->set_detail("first\nsecond\x1b[31m" + std::string(5000, 'x'));
  };

  const auto released = ask();

  ASSERT_FALSE(released);
  EXPECT_EQ(released.error().code, ErrorCode::kDenied);
  EXPECT_THAT(released.error().message, HasSubstr("measurement: first second [31m"));
  EXPECT_LT(released.error().message.size(), 1200U);
}

TEST_F(ReleaseTest, BeginsAgainWithANewChallengeSoOften) {
  broker_.begins_again = kMostReleaseAttempts - 1;
  EXPECT_TRUE(ask());
  EXPECT_EQ(broker_.calls.size(), std::size_t{2 * kMostReleaseAttempts});

  broker_.begins_again = 100;
  expect_away("challenge-expired");
  EXPECT_EQ(broker_.begins_again, 100 - kMostReleaseAttempts);
}

TEST_F(ReleaseTest, NoAnswerIsNoRefusal) {
  for (const auto lost : {Method::kChallenge, Method::kRelease}) {
    broker_.loses_answer = [lost](Method method) { return method == lost; };
    expect_away("away");
  }
}

TEST_F(ReleaseTest, BelievesNobodyElse) {
  FakeBroker other(kVm);
  boot_.belief.broker_roots = {other.root()};
  expect_away("not believed");

  // Even its refusal ends nothing.
  broker_.refuses_release = "no";
  expect_away("not believed");

  boot_.belief.broker_roots.clear();
  expect_away("not believed");

  boot_.belief.broker_roots = {other.root(), broker_.root()};
  EXPECT_EQ(ask().error().code, ErrorCode::kDenied);
}

TEST_F(ReleaseTest, BelievesAnAnswerToThisRequestAboutThisVmOnly) {
  // An answer of the same broker to another request of the same boot.
  std::optional<base::Bytes> earlier;
  broker_.spoils = [&](base::Bytes& answer) {
    if (earlier) {
      answer = *earlier;
    } else {
      earlier = answer;
    }
  };
  ASSERT_TRUE(ask());
  expect_away("not believed");
  broker_.spoils = nullptr;

  broker_.changes_answer = [](pb::Answer& answer) { answer.set_vm_id(std::string(16, 'x')); };
  expect_away("another VM");

  broker_.changes_answer = [](pb::Answer& answer) { answer.mutable_anchored(); };
  expect_away("something else");
}

TEST_F(ReleaseTest, BelievesNoAnswerThatWasChangedOnTheWay) {
  std::size_t at = 0;
  std::size_t size = 0;
  broker_.spoils = [&](base::Bytes& answer) {
    size = answer.size();
    answer[at] ^= std::byte{1};
  };
  for (at = 0; at < 400; at += 3) {
    const auto released = ask();
    ASSERT_FALSE(released) << at;
    EXPECT_EQ(released.error().code, ErrorCode::kUnavailable) << at;
  }
  for (const std::size_t cut : {std::size_t{0}, std::size_t{1}, size / 2, size - 1}) {
    broker_.spoils = [cut](base::Bytes& answer) { answer.resize(cut); };
    expect_away("not believed");
  }
  broker_.spoils = [](base::Bytes& answer) { answer.resize(kMaxAnswerBytes + 1); };
  expect_away("no signed message");
}

TEST_F(ReleaseTest, BelievesNoSignatureThatWasMadeForSomethingElse) {
  broker_.spoils = [this](base::Bytes& answer) {
    pb::Answer refusal;
    refusal.set_vm_id(std::string(reinterpret_cast<const char*>(kVm.data()), kVm.size()));
    refusal.mutable_refused()->set_reason("no");
    answer = broker_.answer(base::bytes_of(broker_.release->SerializeAsString()), refusal,
                            "strongroom.other/1");
  };
  expect_away("not believed");
}

TEST_F(ReleaseTest, TakesNoTermsThatBreakTheRules) {
  const auto changed = [this](std::function<void(pb::Released&)> change) {
    broker_.changes_answer = [change = std::move(change)](pb::Answer& answer) {
      change(*answer.mutable_released());
    };
  };
  changed([](pb::Released& released) { released.set_epoch(0); });
  expect_away("epoch");
  changed([](pb::Released& released) { released.mutable_anchor()->set_sequence(1); });
  expect_away("anchor");
  changed([](pb::Released& released) {
    released.mutable_allowed_restore()->set_digest(std::string(32, 'x'));
  });
  expect_away("anchor");
  changed([](pb::Released& released) { released.set_sealed_keys(std::string(2000, 'x')); });
  expect_away("sealed keys");
  changed([](pb::Released& released) { released.set_sealed_keys(std::string(177, 'x')); });
  expect_away("do not open");
  broker_.changes_answer = [](pb::Answer& answer) { answer.clear_released(); };
  expect_away("known here");
}

// A broker that is well, behind a road that asks to wait a little.
TEST_F(ReleaseTest, WhoAsksToWaitIsWaitedForAsLongAsPatienceLasts) {
  patience_ = Patience(std::chrono::seconds(30));
  int asked = 0;
  broker_.retries_after = std::chrono::seconds(2);
  broker_.loses_request = [&](Method) { return ++asked <= 3; };
  EXPECT_TRUE(ask());
  EXPECT_EQ(broker_.pauses, std::vector(3, std::chrono::milliseconds(2000)));

  broker_.pauses.clear();
  broker_.retries_after = std::chrono::hours(24);
  broker_.loses_request = [](Method) { return true; };
  broker_.pause_ends = false;
  expect_away("the broker is away");
  ASSERT_EQ(broker_.pauses.size(), 1U);
  EXPECT_LE(broker_.pauses[0], std::chrono::seconds(30)) << "no longer than there is patience";
}

TEST_F(ReleaseTest, NobodyWaitsWithoutBeingAskedToOrWithoutPatienceOrAfterAStop) {
  broker_.loses_request = [](Method) { return true; };
  patience_ = Patience(std::chrono::seconds(30));
  expect_away("the broker is away");
  EXPECT_TRUE(broker_.pauses.empty()) << "nobody asked";

  broker_.retries_after = std::chrono::seconds(2);
  patience_ = Patience(std::chrono::milliseconds(0));
  expect_away("the broker is away");
  EXPECT_TRUE(broker_.pauses.empty());

  patience_ = Patience(std::chrono::seconds(30));
  stop_.request_stop();
  expect_away("the broker is away");
  EXPECT_TRUE(broker_.pauses.empty());
}

TEST_F(ReleaseTest, ARefusalIsNotWaitedFor) {
  patience_ = Patience(std::chrono::seconds(30));
  broker_.retries_after = std::chrono::seconds(2);
  broker_.refuses_release = "measurement";
  EXPECT_EQ(ask().error().code, ErrorCode::kDenied);
  EXPECT_TRUE(broker_.pauses.empty());
}

TEST_F(ReleaseTest, TakesNoChallengeThatCouldBeNone) {
  for (const std::size_t size : {std::size_t{0}, protocol::kMaxChallengeBytes + 1}) {
    class Challenger final : public Channel {
     public:
      explicit Challenger(std::size_t size) : size_(size) {}

      base::Result<base::Bytes> call(Method, base::ByteView, const std::stop_token&) override {
        pb::ChallengeResponse response;
        response.set_challenge(std::string(size_, 'c'));
        return base::copy_of(base::bytes_of(response.SerializeAsString()));
      }

     private:
      std::size_t size_;
    } channel(size);

    const auto release = Release::begin(channel, boot_, {});
    ASSERT_FALSE(release) << size;
    EXPECT_EQ(release.error().code, ErrorCode::kUnavailable);
  }
}

}  // namespace
}  // namespace keybroker::client
