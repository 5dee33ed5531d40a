// SPDX-License-Identifier: Apache-2.0
#include "tools/keybrokerd/log_watch.h"

#include <gmock/gmock.h>

namespace tools::keybrokerd {
namespace {

using base::ErrorCode;
using keybroker::crypto::Time;
using std::chrono::minutes;
using testing::HasSubstr;
using testing::IsEmpty;

const Time kStart = *keybroker::crypto::parse_time("2026-01-01T00:00:00Z");

base::Result<void> failed(ErrorCode code, const std::string& message) {
  return base::fail(code, message);
}

TEST(LogWatchTest, IsInTroubleUntilTheLogWasLookedAt) {
  LogWatch made(kStart);
  EXPECT_THAT(made.trouble(kStart), HasSubstr("not looked at yet"));
  made.note({}, kStart);
  EXPECT_THAT(made.trouble(kStart), IsEmpty());

  // A database that is away is said elsewhere.
  LogWatch away(kStart);
  away.note(failed(ErrorCode::kUnavailable, "away"), kStart);
  EXPECT_THAT(away.trouble(kStart), IsEmpty());
}

// Whoever changed the log once had only to lock the database for a moment.
TEST(LogWatchTest, RemembersAChangeUntilACheckpointIsMade) {
  LogWatch watch(kStart);
  watch.note(failed(ErrorCode::kCorrupt, "line 6"), kStart);
  EXPECT_THAT(watch.trouble(kStart), HasSubstr("line 6"));
  watch.note(failed(ErrorCode::kUnavailable, "locked"), kStart + minutes(10));
  EXPECT_THAT(watch.trouble(kStart + minutes(10)), HasSubstr("line 6"));

  watch.note(failed(ErrorCode::kAuthentication, "checkpoint 2"), kStart + minutes(20));
  EXPECT_THAT(watch.trouble(kStart + minutes(20)), HasSubstr("checkpoint 2"));
  watch.note({}, kStart + minutes(30));
  EXPECT_THAT(watch.trouble(kStart + minutes(30)), IsEmpty());
}

TEST(LogWatchTest, IsInTroubleOnceTheNewestCheckpointIsHoursOld) {
  LogWatch watch(kStart);
  watch.note({}, kStart + minutes(1));
  const auto late = kStart + minutes(1) + kOldestCheckpoint;
  watch.note(failed(ErrorCode::kUnavailable, "locked"), late);
  EXPECT_THAT(watch.trouble(late), IsEmpty());
  EXPECT_THAT(watch.trouble(late + minutes(1)), HasSubstr("since 2026-01-01T00:01:00Z: locked"));
  watch.note({}, late + minutes(2));
  EXPECT_THAT(watch.trouble(late + minutes(2)), IsEmpty());
}

}  // namespace
}  // namespace tools::keybrokerd
