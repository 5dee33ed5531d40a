// SPDX-License-Identifier: Apache-2.0
#include "vmgs/base/bytes.h"

#include <gtest/gtest.h>

namespace base {
namespace {

TEST(BytesTest, HexRoundTrips) {
  const auto bytes = from_hex("00fFa5");

  ASSERT_TRUE(bytes);
  EXPECT_EQ(to_hex(*bytes), "00ffa5");
}

TEST(BytesTest, RefusesOddOrForeignDigits) {
  EXPECT_FALSE(from_hex("abc"));
  EXPECT_FALSE(from_hex("0g"));
  EXPECT_FALSE(from_hex("0x"));
}

TEST(BytesTest, AllZeroIsTrueOfNothing) {
  EXPECT_TRUE(is_all_zero({}));
  EXPECT_TRUE(is_all_zero(Bytes(3)));
  EXPECT_FALSE(is_all_zero(bytes_of("a")));
}

}  // namespace
}  // namespace base
