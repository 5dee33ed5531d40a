// SPDX-License-Identifier: Apache-2.0
#include "tools/vtpmd/group.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

namespace tools::vtpmd {
namespace {

using base::ErrorCode;

TEST(GroupIdTest, KnowsAGroupByItsName) {
  const auto found = group_id("root");

  ASSERT_TRUE(found) << found.error().message;
  EXPECT_EQ(*found, 0U);
}

TEST(GroupIdTest, SaysThatThereIsNoSuchGroup) {
  const auto missing = group_id("no-such-group");

  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, ErrorCode::kNotFound);
}

// Not root: systemd knows that group without looking.
TEST(GroupIdTest, DoesNotTakeAFailedLookUpForAMissingGroup) {
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit none{0, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);

  const auto failed = group_id("daemon");

  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code, ErrorCode::kIo);
  EXPECT_NE(failed.error().message.find("Too many open files"), std::string::npos);
}

}  // namespace
}  // namespace tools::vtpmd
