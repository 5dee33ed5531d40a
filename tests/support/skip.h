// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <string_view>

namespace tests::support {

// is_ci() tells whether CI=true is set: then nothing that a test needs may be missing.
inline bool is_ci() {
  const char* const ci = std::getenv("CI");
  return ci != nullptr && std::string_view(ci) == "true";
}

}  // namespace tests::support

// SKIP_OUTSIDE_CI() ends a test whose needs this machine does not have: skipped, with the reason,
// or failed under CI=true, where a skip would be a hole that nobody sees.
#define SKIP_OUTSIDE_CI(reason)                                   \
  do {                                                            \
    if (::tests::support::is_ci()) {                              \
      FAIL() << "under CI=true nothing is skipped: " << (reason); \
    }                                                             \
    GTEST_SKIP() << (reason);                                     \
  } while (false)
