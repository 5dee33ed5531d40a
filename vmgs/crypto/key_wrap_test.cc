// SPDX-License-Identifier: Apache-2.0
#include "vmgs/crypto/key_wrap.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <string_view>

namespace vmgs::crypto {
namespace {

constexpr std::string_view kKey =
    "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

KeyWrapKey key_of(std::string_view digits) {
  const auto bytes = *base::from_hex(digits);
  return KeyWrapKey::copy_of(std::span(bytes).first<32>());
}

// Bytes 40, 41, 42 ...
base::Bytes counting(std::size_t size) {
  base::Bytes bytes(size);
  std::ranges::generate(bytes, [next = 0x40]() mutable { return static_cast<std::byte>(next++); });
  return bytes;
}

base::ErrorCode refusal_of(std::string_view wrapped) {
  const auto bytes = *base::from_hex(wrapped);
  const auto unwrapped = unwrap_key(key_of(kKey), bytes);
  return unwrapped ? base::ErrorCode::kIo : unwrapped.error().code;
}

// The size, and its wrapping. Computed with the Python package cryptography, whose key wrap is an
// implementation of its own over AES-ECB.
constexpr std::pair<std::size_t, std::string_view> kKnown[] = {
    {1, "3b67c79ce486a701939fb30f005becbf"},
    {7, "8e074a6f3199739475ac0a5f22bda056"},
    {8, "5a2cd9b21fbb6d695ab1b2d8801de1f0"},
    {9, "c5e34020e85036737f510dd668b79121b73531a855497208"},
    {16, "fe1e89d86db462ce0dda690402565284ec0617dbf946f747"},
    {20, "7bfef0b87c224051560df29c7bb1da8293033222efb454d7adf63ba23d35e766"},
    {32, "6d10efa7ee3023460945c8a9886e7101353d66337100c5ff2bcb08bf790e9e202eaa28c31d721d87"},
};

TEST(KeyWrapTest, WrapsTheKnownDatastoreKey) {
  const auto wrapped = wrap_key(key_of(kKey), base::Bytes(32, std::byte{0xAB}));

  ASSERT_TRUE(wrapped);
  EXPECT_EQ(base::to_hex(*wrapped),
            "3684cdd610b3245b9e31813bd3ae88bfd6c0a226cab87643f0bf396868a89bbe3c3b30eb576faeee");
}

TEST(KeyWrapTest, WrapsEverySizeAsAnotherImplementationDoes) {
  for (const auto& [size, wrapped] : kKnown) {
    const auto ours = wrap_key(key_of(kKey), counting(size));
    ASSERT_TRUE(ours);
    EXPECT_EQ(base::to_hex(*ours), wrapped) << size;
    EXPECT_EQ(wrapped_bytes(size), ours->size());
  }
}

TEST(KeyWrapTest, UnwrapsToTheVerySize) {
  for (const auto& [size, wrapped] : kKnown) {
    const auto bytes = *base::from_hex(wrapped);
    const auto unwrapped = unwrap_key(key_of(kKey), bytes);
    ASSERT_TRUE(unwrapped) << size;
    EXPECT_TRUE(std::ranges::equal(unwrapped->expose(), counting(size))) << size;
  }
}

TEST(KeyWrapTest, RefusesAnotherKeyAndEveryAlteredByte) {
  auto wrapped = *wrap_key(key_of(kKey), counting(32));
  const std::string other = "01" + std::string(kKey.substr(2));
  const auto under_other = unwrap_key(key_of(other), wrapped);
  ASSERT_FALSE(under_other);
  EXPECT_EQ(under_other.error().code, base::ErrorCode::kAuthentication);
  for (auto& byte : wrapped) {
    byte ^= std::byte{0x80};
    const auto unwrapped = unwrap_key(key_of(kKey), wrapped);
    ASSERT_FALSE(unwrapped);
    EXPECT_EQ(unwrapped.error().code, base::ErrorCode::kAuthentication);
    byte ^= std::byte{0x80};
  }
}

// Each was wrapped with this very key, by somebody who does not keep RFC 5649, section 3.
TEST(KeyWrapTest, RefusesAWrappingWhoseInsideIsWrong) {
  constexpr auto kAuthentication = base::ErrorCode::kAuthentication;
  // Nine bytes whose padding is not zero, that say 17, that say 8; eight that say 0.
  EXPECT_EQ(refusal_of("bcb434649be9844fe7ac1dcf99af2a929fd8c8f9eed43970"), kAuthentication);
  EXPECT_EQ(refusal_of("02ac381bda4cb90652a925e5a222058669eb764a3468de4e"), kAuthentication);
  EXPECT_EQ(refusal_of("c333b16c1cd3f00543d104cf43240f86d97837280dc53d0c"), kAuthentication);
  EXPECT_EQ(refusal_of("697cec0b2b5bfb9e4f4d351047479b3f"), kAuthentication);
  // The last byte of the constant differs; and the key wrap without padding (RFC 3394).
  EXPECT_EQ(refusal_of("f9fcafa5ddd72d648bb13704cc3071a07daddd0daf5f45fd"), kAuthentication);
  EXPECT_EQ(refusal_of("82c693bff487db7c31a7f0cc440ad9e37709511b52efce48094b4548eee3cfc2"
                       "bf7805b51201bc01"),
            kAuthentication);
}

TEST(KeyWrapTest, RefusesSizesThatNoWrappingHas) {
  for (const std::size_t size : {std::size_t{0}, std::size_t{8}, std::size_t{15}, std::size_t{17},
                                 std::size_t{39}, wrapped_bytes(kMostWrappedPlaintextBytes) + 8}) {
    const auto unwrapped = unwrap_key(key_of(kKey), base::Bytes(size));
    ASSERT_FALSE(unwrapped) << size;
    EXPECT_EQ(unwrapped.error().code, base::ErrorCode::kCorrupt) << size;
  }
}

TEST(KeyWrapTest, WrapsNeitherNothingNorTooMuch) {
  for (const std::size_t size : {std::size_t{0}, kMostWrappedPlaintextBytes + 1}) {
    const auto wrapped = wrap_key(key_of(kKey), base::Bytes(size));
    ASSERT_FALSE(wrapped) << size;
    EXPECT_EQ(wrapped.error().code, base::ErrorCode::kInvalidArgument) << size;
  }
  const auto most = wrap_key(key_of(kKey), base::Bytes(kMostWrappedPlaintextBytes));
  ASSERT_TRUE(most);
  EXPECT_TRUE(unwrap_key(key_of(kKey), *most));
}

TEST(KeyWrapTest, ASecretOfAnotherSizeIsNotTakenForAKey) {
  const auto key = key_of(kKey);
  const auto wrapped = *wrap_key(key, counting(31));

  const auto taken = unwrap_secret<32>(key, wrapped);

  ASSERT_FALSE(taken);
  EXPECT_EQ(taken.error().code, base::ErrorCode::kCorrupt);
  const auto whole = unwrap_secret<31>(key, wrapped);
  ASSERT_TRUE(whole);
  EXPECT_TRUE(std::ranges::equal(whole->expose(), counting(31)));
}

}  // namespace
}  // namespace vmgs::crypto
