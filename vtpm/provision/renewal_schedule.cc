// SPDX-License-Identifier: Apache-2.0
#include "vtpm/provision/renewal_schedule.h"

#include <algorithm>

namespace vtpm::provision {

namespace {

using Duration = RenewalSchedule::Duration;

Duration bounded(std::chrono::seconds left, Duration least) {
  // Compared in seconds: what an issuer says may not fit into nanoseconds.
  if (left >= RenewalSchedule::kLatest) {
    return RenewalSchedule::kLatest;
  }
  return left <= std::chrono::seconds::zero() ? least : std::max<Duration>(left, least);
}

}  // namespace

void RenewalSchedule::found(std::chrono::sys_seconds renew_at, std::chrono::sys_seconds wall,
                            Time now) {
  due_ = now + bounded(renew_at - wall, Duration::zero());
  pause_ = kFirstPause;
}

void RenewalSchedule::certified(std::chrono::sys_seconds renew_at, std::chrono::sys_seconds wall,
                                Time now) {
  due_ = now + bounded(renew_at - wall, kSoonest);
  pause_ = kFirstPause;
}

void RenewalSchedule::failed(Time now) {
  const auto least = pause_ / 2;
  due_ = now + least +
         std::chrono::duration_cast<Duration>(std::chrono::duration<double>(pause_ - least) *
                                              spread_());
  pause_ = std::min<Duration>(pause_ * 2, kLongestPause);
}

void RenewalSchedule::refused() { due_.reset(); }

}  // namespace vtpm::provision
