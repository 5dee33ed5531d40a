// SPDX-License-Identifier: Apache-2.0
#include "vmgs/base/result.h"

#include <gtest/gtest.h>

#include <memory>

namespace base {
namespace {

Result<std::unique_ptr<int>> made(bool well) {
  if (!well) {
    return fail(ErrorCode::kIo, "disk on fire");
  }
  return std::make_unique<int>(7);
}

Result<int> used(bool well) {
  TRY_ASSIGN(number, made(well));
  return *number;
}

TEST(ResultTest, TryAssignMovesTheValueOut) { EXPECT_EQ(*used(true), 7); }

TEST(ResultTest, TryAssignReturnsTheErrorUnchanged) {
  const auto result = used(false);

  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::kIo);
  EXPECT_EQ(result.error().message, "disk on fire");
}

// A test once took the bytes behind a success for kInvalidArgument, the error it hoped for.
TEST(ResultDeathTest, EndsTheProcessThatAsksASuccessForItsError) {
  const Result<int> number = 7;
  const Result<void> nothing;

  EXPECT_DEATH((void)number.error(), "");
  EXPECT_DEATH((void)nothing.error(), "");
}

TEST(ResultDeathTest, EndsTheProcessThatAsksAFailureForItsValue) {
  const auto failure = made(false);

  EXPECT_DEATH((void)*failure, "");
  EXPECT_DEATH((void)failure->get(), "");
}

TEST(ResultTest, ContextIsPutInFront) {
  auto error = Error{ErrorCode::kCorrupt, "bad checksum"}.context("header slot 1");

  EXPECT_EQ(error.code, ErrorCode::kCorrupt);
  EXPECT_EQ(error.message, "header slot 1: bad checksum");
}

}  // namespace
}  // namespace base
