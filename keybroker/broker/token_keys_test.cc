// SPDX-License-Identifier: Apache-2.0
#include "keybroker/broker/token_keys.h"

#include <gtest/gtest.h>

#include <boost/json/array.hpp>

#include "keybroker/crypto/jwk.h"

namespace keybroker::broker {
namespace {

base::SecretBytes text(std::string_view content) {
  return base::SecretBytes::taking(base::copy_of(base::bytes_of(content)));
}

std::string text_of(const base::SecretBytes& pem) {
  return {reinterpret_cast<const char*>(pem.expose().data()), pem.size()};
}

TEST(TokenKeysTest, ComeBackFromTheirFileInOrder) {
  const auto keys = *TokenKeys::generate()->adding_one();
  const auto back = decode_token_keys(*encode(keys));
  ASSERT_TRUE(back) << back.error().message;
  ASSERT_EQ(back->keys().size(), 2U);
  EXPECT_EQ(back->keys()[0].public_key(), keys.keys()[0].public_key());
  EXPECT_EQ(back->newest().public_key(), keys.newest().public_key());
}

TEST(TokenKeysTest, ForgetTheOldestWhereThereWouldBeTooMany) {
  auto keys = *TokenKeys::generate();
  const auto first = crypto::jwk_thumbprint(keys.newest().public_key());
  for (std::size_t i = 1; i < kMostTokenKeys; ++i) {
    keys = *keys.adding_one();
  }
  EXPECT_NE(keys.find(first), nullptr);
  keys = *keys.adding_one();
  EXPECT_EQ(keys.keys().size(), kMostTokenKeys);
  EXPECT_EQ(keys.find(first), nullptr);
}

TEST(TokenKeysTest, RefuseWhatTheySignNothingWith) {
  const auto key = *crypto::PrivateKey::generate_ec(crypto::Curve::kP384);
  EXPECT_FALSE(TokenKeys::with({}));
  EXPECT_FALSE(TokenKeys::with({key, key}));
  EXPECT_FALSE(TokenKeys::with({*crypto::PrivateKey::generate_ec(crypto::Curve::kP256)}));

  const auto pem = text_of(*encode(*TokenKeys::with({key})));
  for (const auto& damaged : {std::string(), pem + pem, pem + "more", "more" + pem,
                              pem.substr(0, pem.size() - 2), std::string(20'000, '-')}) {
    const auto read = decode_token_keys(text(damaged));
    ASSERT_FALSE(read) << damaged.size();
    EXPECT_EQ(read.error().code, base::ErrorCode::kCorrupt);
  }
  EXPECT_TRUE(decode_token_keys(text(pem)));
}

TEST(TokenKeysTest, ShowTheirPublicHalvesAndNothingElse) {
  const auto keys = *TokenKeys::generate()->adding_one();
  const auto jwks = keys.jwks();
  const auto& set = jwks.at("keys").as_array();
  ASSERT_EQ(set.size(), 2U);
  const auto& newest = set[0].as_object();
  EXPECT_EQ(newest.at("kid").as_string(), crypto::jwk_thumbprint(keys.newest().public_key()));
  EXPECT_EQ(newest.at("alg").as_string(), "ES384");
  EXPECT_EQ(*crypto::decode_jwk(newest), keys.newest().public_key());
  EXPECT_EQ(newest.size(), 7U);  // kty, crv, x, y, kid, use, alg
  EXPECT_FALSE(newest.contains("d"));
}

}  // namespace
}  // namespace keybroker::broker
