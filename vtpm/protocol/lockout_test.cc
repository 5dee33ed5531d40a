// SPDX-License-Identifier: Apache-2.0
#include "vtpm/protocol/lockout.h"

#include <gtest/gtest.h>

#include <string>

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

// A guest that has set its lockout authorization (bit 2), and failed two of three tries.
const std::string kState =
    "800100000043000000000000000006"
    "00000006"
    "0000020000000004"
    "000002010000000f"
    "0000020e00000002"
    "0000020f00000003"
    "0000021000000e10"
    "0000021100001c20";

TEST(LockoutStateTest, IsAskedForWithTheVariableProperties) {
  EXPECT_EQ(base::to_hex(ask_lockout_state()), "8001000000160000017a000000060000020000000012");
}

TEST(LockoutStateTest, NamesTriesAndTimes) {
  const auto state = decode_lockout_state(*base::from_hex(kState));

  ASSERT_TRUE(state) << state.error().message;
  EXPECT_EQ(*state, (LockoutState{.failed_tries = 2,
                                  .max_tries = 3,
                                  .recovery_seconds = 3600,
                                  .lockout_recovery_seconds = 7200,
                                  .locked_out = false,
                                  .has_authorization = true}));
}

TEST(LockoutStateTest, SaysThatTheTpmWasNotStarted) {
  const auto state = decode_lockout_state(*base::from_hex("80010000000a00000100"));

  ASSERT_FALSE(state);
  EXPECT_EQ(state.error().code, base::ErrorCode::kUnavailable);
}

TEST(LockoutStateTest, RefusesWhatIsNoAnswerToIt) {
  auto without_one = kState;
  without_one.replace(without_one.find("0000020e"), 8, "00000213");
  for (const auto& hex : {std::string("8001"), std::string(kInLockout), kState + "00",
                          kState.substr(0, kState.size() - 2), without_one}) {
    const auto state = decode_lockout_state(*base::from_hex(hex));
    ASSERT_FALSE(state) << hex;
    EXPECT_EQ(state.error().code, base::ErrorCode::kCorrupt) << hex;
  }
}

TEST(LockoutResetTest, CarriesTheAuthorizationInAPasswordSession) {
  EXPECT_EQ(base::to_hex(reset_lockout(base::bytes_of("ab")).expose()),
            "80020000001d00000139"
            "4000000a"
            "0000000b"
            "400000090000000002"
            "6162");
}

TEST(LockoutResetTest, SaysWhatCameOfIt) {
  const auto outcome = [](const char* code) {
    return outcome_of_reset(*base::from_hex(std::string("80010000000a") + code));
  };
  EXPECT_TRUE(outcome("00000000"));
  EXPECT_EQ(outcome("0000098e").error().code, base::ErrorCode::kAuthentication);
  EXPECT_EQ(outcome("00000921").error().code, base::ErrorCode::kUnavailable);
  EXPECT_EQ(outcome("00000100").error().code, base::ErrorCode::kUnavailable);
  EXPECT_EQ(outcome("00000101").error().code, base::ErrorCode::kCorrupt);
}

}  // namespace
}  // namespace vtpm::protocol
