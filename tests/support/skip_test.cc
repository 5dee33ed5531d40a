// SPDX-License-Identifier: Apache-2.0
#include "tests/support/skip.h"

#include <gtest/gtest-spi.h>

#include <optional>
#include <string>

namespace tests::support {
namespace {

// Sets CI for a test, and puts back what it was.
class SkipTest : public ::testing::Test {
 protected:
  SkipTest() {
    if (const char* const ci = std::getenv("CI")) {
      before_ = ci;
    }
  }

  ~SkipTest() override {
    if (before_) {
      ::setenv("CI", before_->c_str(), 1);
    } else {
      ::unsetenv("CI");
    }
  }

 private:
  std::optional<std::string> before_;
};

TEST_F(SkipTest, IsAFailureUnderCi) {
  ::setenv("CI", "true", 1);

  EXPECT_FATAL_FAILURE(SKIP_OUTSIDE_CI("no such disk"), "no such disk");
}

TEST_F(SkipTest, OnlyTheWordTrueMeansCi) {
  ::setenv("CI", "true", 1);
  EXPECT_TRUE(is_ci());
  ::setenv("CI", "false", 1);
  EXPECT_FALSE(is_ci());
  ::unsetenv("CI");
  EXPECT_FALSE(is_ci());
}

}  // namespace
}  // namespace tests::support
