// SPDX-License-Identifier: Apache-2.0
#include "keybroker/crypto/time.h"

#include <gtest/gtest.h>

#include "tests/support/error_code.h"

namespace keybroker::crypto {
namespace {

TEST(TimeTest, ReadsAndWritesUtc) {
  EXPECT_EQ(parse_time("1970-01-01T00:00:00Z")->time_since_epoch().count(), 0);
  EXPECT_EQ(parse_time("2025-06-19T10:16:03Z")->time_since_epoch().count(), 1750328163);
  for (const char* text :
       {"2025-06-19T10:16:03Z", "2024-02-29T23:59:59Z", "2049-12-31T00:00:00Z"}) {
    EXPECT_EQ(to_text(*parse_time(text)), text);
  }
}

TEST(TimeTest, RefusesEveryOtherForm) {
  for (const char* text : {"", "2025-06-19", "2025-06-19T10:16:03", "2025-06-19 10:16:03Z",
                           "2025-06-19T10:16:03+00:00", "2025-06-19T10:16:03.5Z",
                           "2025-13-01T00:00:00Z", "2025-02-29T00:00:00Z", "2025-06-19T24:00:00Z",
                           "2025-06-19T10:60:00Z", "2025-06-19T10:16:60Z", "2025-06-1 T10:16:03Z",
                           "+025-06-19T10:16:03Z", "2025-00-19T10:16:03Z"}) {
    EXPECT_EQ(tests::support::error_code(parse_time(text)), base::ErrorCode::kInvalidArgument)
        << text;
  }
}

}  // namespace
}  // namespace keybroker::crypto
