// SPDX-License-Identifier: Apache-2.0
#include "keybroker/broker/challenge.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

namespace keybroker::broker {
namespace {

constexpr protocol::Uuid kVm{std::byte{0xA1}, std::byte{2}};
const crypto::Time kNow = *crypto::parse_time("2026-11-22T07:00:00Z");

std::string judged(const ClusterSecrets& secrets, base::ByteView token,
                   const protocol::Uuid& vm_id = kVm, crypto::Time now = kNow) {
  const auto outcome = judge_challenge(secrets, token, vm_id, now);
  return outcome ? "good" : std::get<Refusal>(outcome.error()).word;
}

TEST(ChallengeTest, IsGoodForItsVmUntilItEnds) {
  const auto secrets = *ClusterSecrets::generate();
  const auto token = *make_challenge(secrets, kVm, kNow);
  EXPECT_EQ(token.size(), kChallengeBytes);
  const auto read = judge_challenge(secrets, token, kVm, kNow);
  ASSERT_TRUE(read);
  EXPECT_EQ(read->vm_id, kVm);
  EXPECT_EQ(read->until, kNow + kChallengeLife);
  EXPECT_FALSE(base::is_all_zero(read->nonce));
  EXPECT_EQ(judged(secrets, token, kVm, kNow + kChallengeLife - std::chrono::seconds(1)), "good");
  EXPECT_EQ(judged(secrets, token, kVm, kNow + kChallengeLife), "challenge-expired");
}

TEST(ChallengeTest, TwoOfThemHaveDifferentNonces) {
  const auto secrets = *ClusterSecrets::generate();
  std::set<ChallengeNonce> nonces;
  for (int i = 0; i < 16; ++i) {
    nonces.insert(judge_challenge(secrets, *make_challenge(secrets, kVm, kNow), kVm, kNow)->nonce);
  }
  EXPECT_EQ(nonces.size(), 16U);
}

TEST(ChallengeTest, IsRefusedForAnotherVmAndSaysWhich) {
  const auto secrets = *ClusterSecrets::generate();
  const auto token = *make_challenge(secrets, kVm, kNow);
  auto other = kVm;
  other[15] = std::byte{1};
  EXPECT_EQ(judged(secrets, token, other), "challenge-other-vm");
  const auto outcome = judge_challenge(secrets, token, other, kNow);
  EXPECT_THAT(std::get<Refusal>(outcome.error()).detail,
              ::testing::HasSubstr("a1020000-0000-0000-0000-000000000001"));
  EXPECT_TRUE(std::get<Refusal>(outcome.error()).begin_again);
}

TEST(ChallengeTest, EveryBitOfItCounts) {
  const auto secrets = *ClusterSecrets::generate();
  const auto token = *make_challenge(secrets, kVm, kNow);
  for (std::size_t bit = 0; bit < token.size() * 8; ++bit) {
    auto altered = token;
    altered[bit / 8] ^= static_cast<std::byte>(1U << (bit % 8));
    EXPECT_EQ(judged(secrets, altered), "challenge-unknown") << "bit " << bit;
  }
}

TEST(ChallengeTest, EveryOtherLengthIsUnknown) {
  const auto secrets = *ClusterSecrets::generate();
  auto token = *make_challenge(secrets, kVm, kNow);
  token.push_back(std::byte{0});
  EXPECT_EQ(judged(secrets, token), "challenge-unknown");
  for (std::size_t size = 0; size < kChallengeBytes; ++size) {
    EXPECT_EQ(judged(secrets, base::ByteView(token).first(size)), "challenge-unknown");
  }
}

TEST(ChallengeTest, TheNewestPromotedSecretMakesAndAllOfThemVerify) {
  const auto first = *ClusterSecrets::generate();
  const auto added = *first.adding_one();
  EXPECT_EQ(judged(first, *make_challenge(added, kVm, kNow)), "good");
  const auto both = *added.promoting_newest();
  EXPECT_EQ(judged(both, *make_challenge(first, kVm, kNow)), "good");
  // What the new secret made is unknown to a replica that does not have it yet.
  EXPECT_EQ(judged(first, *make_challenge(both, kVm, kNow)), "challenge-unknown");
  // Nor does another broker's secret of the same version count.
  EXPECT_EQ(judged(*ClusterSecrets::generate(), *make_challenge(first, kVm, kNow)),
            "challenge-unknown");
}

}  // namespace
}  // namespace keybroker::broker
