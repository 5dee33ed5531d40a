// SPDX-License-Identifier: Apache-2.0
#include "vtpm/protocol/lockout.h"

#include <gtest/gtest.h>

namespace vtpm::protocol {
namespace {

// The answer of a TPM with an owner password (bit 0) that is in lockout (bit 9).
constexpr const char* kInLockout =
    "80010000001b00000000000000000600000001000002000000"
    "0201";

base::Result<bool> decoded(const std::string& hex) { return decode_lockout(*base::from_hex(hex)); }

TEST(LockoutTest, IsMetByAWrongAuthorizationOfAnySession) {
  EXPECT_TRUE(is_wrong_authorization(ResponseCode{0x921}));
  EXPECT_TRUE(is_wrong_authorization(ResponseCode{0x98e}));  // session 1
  EXPECT_TRUE(is_wrong_authorization(ResponseCode{0xa8e}));  // session 2

  EXPECT_FALSE(is_wrong_authorization(ResponseCode::kSuccess));
  EXPECT_FALSE(is_wrong_authorization(ResponseCode::kFailure));
  EXPECT_FALSE(is_wrong_authorization(ResponseCode{0x9a2}));  // BAD_AUTH is not counted
  EXPECT_FALSE(is_wrong_authorization(ResponseCode{0x90e}));  // a warning with these low bits
}

TEST(LockoutTest, IsAskedForAsAPermanentAttribute) {
  EXPECT_EQ(base::to_hex(ask_lockout()), "8001000000160000017a000000060000020000000001");
}

TEST(LockoutTest, IsOneBitOfTheAnswer) {
  std::string free = kInLockout;
  free.replace(free.size() - 4, 4, "fdff");

  EXPECT_TRUE(*decoded(kInLockout));
  EXPECT_FALSE(*decoded(free));
}

TEST(LockoutTest, IsNotReadFromAnotherAnswer) {
  const std::string good = kInLockout;
  EXPECT_FALSE(decoded("80010000000a00000101"));
  EXPECT_FALSE(decoded(std::string(good).replace(12, 8, "00000101")));        // an error
  EXPECT_FALSE(decoded(std::string(good).replace(22, 8, "00000005")));        // another capability
  EXPECT_FALSE(decoded(std::string(good).replace(30, 8, "00000002")));        // two properties
  EXPECT_FALSE(decoded(std::string(good).replace(38, 8, "00000201")));        // another property
  EXPECT_FALSE(decoded("80010000001a" + good.substr(12, good.size() - 14)));  // cut short
  EXPECT_FALSE(decoded("80010000001c" + good.substr(12) + "00"));             // more behind it
}

}  // namespace
}  // namespace vtpm::protocol
