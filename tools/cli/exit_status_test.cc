// SPDX-License-Identifier: Apache-2.0
#include "tools/cli/exit_status.h"

#include <gtest/gtest.h>

#include "tests/support/error_code.h"

namespace tools::cli {
namespace {

using base::ErrorCode;

TEST(ExitStatusTest, TellsErrorsApartAsTheTableOfTheProgramsSays) {
  EXPECT_EQ(static_cast<int>(exit_status(ErrorCode::kIo)), 1);
  EXPECT_EQ(static_cast<int>(exit_status(ErrorCode::kInvalidArgument)), 2);
  EXPECT_EQ(static_cast<int>(exit_status(ErrorCode::kNotFound)), 4);
  EXPECT_EQ(static_cast<int>(exit_status(ErrorCode::kDenied)), 5);
  EXPECT_EQ(static_cast<int>(exit_status(ErrorCode::kCorrupt)), 6);
  EXPECT_EQ(static_cast<int>(exit_status(ErrorCode::kAuthentication)), 6);
  EXPECT_EQ(static_cast<int>(exit_status(ErrorCode::kUnavailable)), 8);
}

TEST(ExitStatusTest, ExplainsEveryStatusAndNoOther) {
  for (int status = 0; status <= 9; ++status) {
    const auto text = explain(status);
    ASSERT_TRUE(text) << status;
    EXPECT_TRUE(text->starts_with(std::to_string(status) + " ")) << *text;
  }
  EXPECT_EQ(tests::support::error_code(explain(10)), ErrorCode::kNotFound);
  EXPECT_EQ(tests::support::error_code(explain(-1)), ErrorCode::kNotFound);
}

}  // namespace
}  // namespace tools::cli
