// SPDX-License-Identifier: Apache-2.0
#include "vtpm/protocol/locality.h"

#include <gtest/gtest.h>

namespace vtpm::protocol {
namespace {

TEST(LocalityTest, ExistsFromZeroToFour) {
  EXPECT_EQ(Locality::of(0)->number(), 0);
  EXPECT_EQ(Locality::of(4)->number(), 4);

  const auto five = Locality::of(5);
  ASSERT_FALSE(five);
  EXPECT_EQ(five.error().code, base::ErrorCode::kInvalidArgument);
}

TEST(LocalityTest, OnlyThreeAndFourMayResetEstablished) {
  EXPECT_FALSE(Locality::of(2)->may_reset_established());
  EXPECT_TRUE(Locality::of(3)->may_reset_established());
  EXPECT_TRUE(Locality::of(4)->may_reset_established());
}

}  // namespace
}  // namespace vtpm::protocol
