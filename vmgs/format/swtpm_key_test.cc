// SPDX-License-Identifier: Apache-2.0
#include "vmgs/format/swtpm_key.h"

#include <gtest/gtest.h>

#include "tests/support/error_code.h"

namespace vmgs::format {
namespace {

using base::ErrorCode;
using tests::support::error_code;

constexpr std::string_view kDigits128 = "000102030405060708090a0B0c0d0e0F";
constexpr std::string_view kDigits256 =
    "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

base::Result<SwtpmKey> hex_key(const std::string& content, SwtpmCipher cipher) {
  return SwtpmKey::from_hex(base::bytes_of(content), cipher);
}

TEST(SwtpmKeyTest, ReadsHexadecimalDigits) {
  const std::string digits(kDigits128);
  for (const auto& content : {digits, "0x" + digits, digits + "\n", digits + " of the host\n"}) {
    const auto key = hex_key(content, SwtpmCipher::kAes128Cbc);

    ASSERT_TRUE(key) << content << key.error().message;
    EXPECT_EQ(base::to_hex(key->expose()), "000102030405060708090a0b0c0d0e0f");
  }
}

TEST(SwtpmKeyTest, RefusesDigitsThatAreNoKeyOfTheCipher) {
  const std::string digits(kDigits128);
  for (const auto& content : {std::string(), std::string("0x"), digits + "0", digits.substr(1),
                              digits.substr(2), std::string(kDigits256), "g" + digits.substr(1),
                              digits.substr(1) + "G", " " + digits, "0X" + digits}) {
    EXPECT_EQ(error_code(hex_key(content, SwtpmCipher::kAes128Cbc)), ErrorCode::kInvalidArgument)
        << content;
  }
  EXPECT_EQ(error_code(hex_key(digits, SwtpmCipher::kAes256Cbc)), ErrorCode::kInvalidArgument);
  EXPECT_TRUE(hex_key(std::string(kDigits256), SwtpmCipher::kAes256Cbc));
}

TEST(SwtpmKeyTest, ReadsBinaryKeys) {
  const base::Bytes sixteen(16, std::byte{1});
  const base::Bytes thirty_two(32, std::byte{2});

  EXPECT_EQ(SwtpmKey::from_binary(sixteen, SwtpmCipher::kAes128Cbc)->size(), 16U);
  EXPECT_EQ(SwtpmKey::from_binary(thirty_two, SwtpmCipher::kAes256Cbc)->size(), 32U);
  // swtpm, too, takes the shorter key here, and then encrypts by AES-128.
  EXPECT_EQ(SwtpmKey::from_binary(sixteen, SwtpmCipher::kAes256Cbc)->size(), 16U);
  EXPECT_FALSE(SwtpmKey::from_binary(thirty_two, SwtpmCipher::kAes128Cbc));
  EXPECT_FALSE(SwtpmKey::from_binary(base::Bytes(17), SwtpmCipher::kAes256Cbc));
  EXPECT_FALSE(SwtpmKey::from_binary({}, SwtpmCipher::kAes256Cbc));
}

// By hashlib of Python; swtpm_blob_test has files that swtpm wrote with such keys.
TEST(SwtpmKeyTest, DerivesKeysFromPassphrases) {
  const auto hex = [](std::string_view passphrase, SwtpmKdf kdf, SwtpmCipher cipher) {
    return base::to_hex(
        SwtpmKey::from_passphrase(base::bytes_of(passphrase), kdf, cipher)->expose());
  };

  EXPECT_EQ(hex("correct horse", SwtpmKdf::kPbkdf2, SwtpmCipher::kAes128Cbc),
            "5a2c140e5ccb2afd047abf51803052a3");
  EXPECT_EQ(hex("correct horse", SwtpmKdf::kPbkdf2, SwtpmCipher::kAes256Cbc),
            "5a2c140e5ccb2afd047abf51803052a37f120bc89c4759e0091816183e072d57");
  EXPECT_EQ(hex("correct horse\n", SwtpmKdf::kPbkdf2, SwtpmCipher::kAes128Cbc),
            "4f9b96b90f7bc96f6ee8e918ce26c005");
  EXPECT_EQ(hex("correct horse", SwtpmKdf::kSha512, SwtpmCipher::kAes256Cbc),
            "56b698defedb5a435b634afe3320bbaf3fdcd920b6c503a446fc7b7a776b298d");
}

TEST(SwtpmKeyTest, KnowsTheNamesOfSwtpm) {
  EXPECT_EQ(*parse_swtpm_cipher("aes-cbc"), SwtpmCipher::kAes128Cbc);
  EXPECT_EQ(*parse_swtpm_cipher("aes-128-cbc"), SwtpmCipher::kAes128Cbc);
  EXPECT_EQ(*parse_swtpm_cipher("aes-256-cbc"), SwtpmCipher::kAes256Cbc);
  EXPECT_FALSE(parse_swtpm_cipher("aes-256-gcm"));
  EXPECT_EQ(*parse_swtpm_kdf("pbkdf2"), SwtpmKdf::kPbkdf2);
  EXPECT_EQ(*parse_swtpm_kdf("sha512"), SwtpmKdf::kSha512);
  EXPECT_FALSE(parse_swtpm_kdf("md5"));
}

}  // namespace
}  // namespace vmgs::format
