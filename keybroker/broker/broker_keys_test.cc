// SPDX-License-Identifier: Apache-2.0
#include "keybroker/broker/broker_keys.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "tests/support/error_code.h"

namespace keybroker::broker {
namespace {

using tests::support::error_code;

const crypto::Time kNow = *crypto::parse_time("2026-11-22T07:00:00Z");

base::SecretBytes secret(const std::string& text) {
  return base::SecretBytes::taking(base::copy_of(base::bytes_of(text)));
}

std::string text(const base::SecretBytes& bytes) {
  return {reinterpret_cast<const char*>(bytes.expose().data()), bytes.size()};
}

TEST(BrokerKeysTest, AnAnswerKeySignsUnderTheRootThatMadeIt) {
  const auto root = *make_broker_root(kNow);
  const auto key = *make_answer_key(root, kNow);
  const auto signer = key.signer();
  ASSERT_TRUE(signer) << signer.error().message;
  EXPECT_EQ(signer->root(), root.certificate.fingerprint());
  EXPECT_EQ(key.chain.front().not_after(), kNow + std::chrono::days(366));
  // A key never outlives its root.
  const auto late = kNow + std::chrono::days(3600);
  EXPECT_EQ(make_answer_key(root, late)->chain.front().not_after(), root.certificate.not_after());
}

TEST(BrokerKeysTest, FilesComeBackAsTheyWere) {
  const auto root = *make_broker_root(kNow);
  const auto key = *make_answer_key(root, kNow);
  const auto root_again = decode_broker_root(*encode(root));
  ASSERT_TRUE(root_again) << root_again.error().message;
  EXPECT_EQ(root_again->certificate, root.certificate);
  EXPECT_EQ(root_again->key.public_key(), root.key.public_key());
  const auto key_again = decode_answer_key(*encode(key));
  ASSERT_TRUE(key_again) << key_again.error().message;
  EXPECT_EQ(key_again->chain, key.chain);
}

TEST(BrokerKeysTest, AKeyOfAnotherCertificateIsDamage) {
  const auto root = *make_broker_root(kNow);
  const auto other = *make_broker_root(kNow);
  const auto key = *make_answer_key(root, kNow);
  const auto stray = *make_answer_key(other, kNow);
  EXPECT_EQ(error_code(decode_broker_root(*encode(BrokerRoot{other.key, root.certificate}))),
            base::ErrorCode::kCorrupt);
  EXPECT_EQ(error_code(decode_answer_key(*encode(AnswerKey{stray.key, key.chain}))),
            base::ErrorCode::kCorrupt);
  EXPECT_EQ(error_code(decode_answer_key(
                *encode(AnswerKey{key.key, {key.chain.front(), other.certificate}}))),
            base::ErrorCode::kCorrupt);
  EXPECT_EQ(error_code(decode_answer_key(*encode(root))), base::ErrorCode::kCorrupt);
  EXPECT_EQ(error_code(decode_broker_root(*encode(key))), base::ErrorCode::kCorrupt);
  EXPECT_EQ(error_code(decode_answer_key(base::SecretBytes(kMaxBrokerKeyFileBytes + 1))),
            base::ErrorCode::kCorrupt);
}

TEST(BrokerKeysTest, ClusterSecretsComeBackAsTheyWere) {
  const auto secrets = *ClusterSecrets::generate()->adding_one();
  const auto again = decode_cluster_secrets(encode(secrets));
  ASSERT_TRUE(again) << again.error().message;
  ASSERT_EQ(again->versions().size(), 2U);
  for (std::size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(again->versions()[i].number, secrets.versions()[i].number);
    EXPECT_EQ(again->versions()[i].accepted_only, secrets.versions()[i].accepted_only);
    EXPECT_TRUE(again->versions()[i].bytes.equals_in_constant_time(secrets.versions()[i].bytes));
  }
}

TEST(BrokerKeysTest, ClusterSecretsHaveOneText) {
  const auto good = text(encode(*ClusterSecrets::generate()));
  ASSERT_TRUE(decode_cluster_secrets(secret(good)));
  auto upper = good;
  upper[2] = 'A';
  auto no_digit = good;
  no_digit[10] = 'g';
  for (const auto& bad :
       {std::string(), good.substr(1), good.substr(0, good.size() - 1), good + "\n", " " + good,
        "0" + good, "99999999999" + good, good + good, no_digit, upper}) {
    EXPECT_EQ(error_code(decode_cluster_secrets(secret(bad))), base::ErrorCode::kCorrupt) << bad;
  }
}

}  // namespace
}  // namespace keybroker::broker
