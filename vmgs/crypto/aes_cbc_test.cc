// SPDX-License-Identifier: Apache-2.0
#include "vmgs/crypto/aes_cbc.h"

#include <gtest/gtest.h>

namespace vmgs::crypto {
namespace {

// NIST SP 800-38A, F.2.5 and F.2.6: CBC-AES256.
constexpr std::string_view kKey =
    "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4";
constexpr std::string_view kIv = "000102030405060708090a0b0c0d0e0f";
constexpr std::string_view kPlaintext =
    "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"
    "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710";
constexpr std::string_view kCiphertext =
    "f58c4c04d6e5f1ba779eabfb5f7bfbd69cfc4e967edb808d679f777bc6702c7d"
    "39f23369a9d9bacfa530e26304231461b2eb05e2c39be9fcda6c19078c6a9d1b";

CbcKey key() {
  const auto bytes = *base::from_hex(kKey);
  return CbcKey::copy_of(std::span(bytes).first<32>());
}

CbcIv iv() {
  const auto bytes = *base::from_hex(kIv);
  CbcIv out{};
  std::copy(bytes.begin(), bytes.end(), out.begin());
  return out;
}

TEST(AesCbcTest, MatchesThePublishedVectorBothWays) {
  const auto plaintext = *base::from_hex(kPlaintext);
  base::Bytes bytes(plaintext.size());

  ASSERT_TRUE(cbc_encrypt(key().expose(), iv(), plaintext, bytes));
  EXPECT_EQ(base::to_hex(bytes), kCiphertext);

  ASSERT_TRUE(cbc_decrypt(key().expose(), iv(), bytes, bytes));
  EXPECT_EQ(base::to_hex(bytes), kPlaintext);
}

// NIST SP 800-38A, F.2.1: CBC-AES128, same IV and plaintext.
TEST(AesCbcTest, MatchesThePublishedVectorOfTheShorterKey) {
  const auto short_key = *base::from_hex("2b7e151628aed2a6abf7158809cf4f3c");
  const auto plaintext = *base::from_hex(kPlaintext);
  base::Bytes bytes(plaintext.size());

  ASSERT_TRUE(cbc_encrypt(short_key, iv(), plaintext, bytes));
  EXPECT_EQ(base::to_hex(bytes),
            "7649abac8119b246cee98e9b12e9197d5086cb9b507219ee95db113a917678b2"
            "73bed6b8e3c1743b7116e69e222295163ff1caa1681fac09120eca307586e1a7");
}

TEST(AesCbcTest, RefusesKeysOfOtherSizes) {
  base::Bytes bytes(16);
  for (const std::size_t size : {0U, 15U, 24U, 33U}) {
    const auto result = cbc_encrypt(base::Bytes(size), iv(), bytes, bytes);

    ASSERT_FALSE(result) << size;
    EXPECT_EQ(result.error().code, base::ErrorCode::kInvalidArgument);
  }
}

TEST(AesCbcTest, AddsAndRemovesNoPadding) {
  // A last block that looks like PKCS#7 padding comes back whole.
  const base::Bytes padded(16, std::byte{16});
  base::Bytes bytes(16);

  ASSERT_TRUE(cbc_encrypt(key().expose(), iv(), padded, bytes));
  ASSERT_TRUE(cbc_decrypt(key().expose(), iv(), bytes, bytes));

  EXPECT_EQ(bytes, padded);
  EXPECT_TRUE(cbc_encrypt(key().expose(), iv(), {}, {}));
}

TEST(AesCbcTest, RefusesPartBlocksAndUnequalSizes) {
  base::Bytes bytes(32);
  const auto refused = [&](std::size_t from, std::size_t to) {
    const base::Bytes source(from);
    const auto result = cbc_decrypt(key().expose(), iv(), source, std::span(bytes).first(to));
    return !result && result.error().code == base::ErrorCode::kInvalidArgument;
  };

  EXPECT_TRUE(refused(15, 15));
  EXPECT_TRUE(refused(17, 17));
  EXPECT_TRUE(refused(16, 32));
  EXPECT_TRUE(refused(32, 16));
}

}  // namespace
}  // namespace vmgs::crypto
