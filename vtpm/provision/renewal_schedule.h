// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <functional>
#include <optional>

namespace vtpm::provision {

// RenewalSchedule says when to ask for a certificate: when the one there is wants to be replaced,
// and after a failure that may pass later and later, 2 seconds to 10 minutes, each time spread over
// half of that, so that the VMs of a host do not all ask at once. Whoever follows it passes the
// time of a clock that only runs forward; the wall clock is looked at once for each certificate, so
// that setting it neither starts a storm nor ends the renewals. One owner.
class RenewalSchedule {
 public:
  using Time = std::chrono::steady_clock::time_point;
  using Duration = std::chrono::steady_clock::duration;

  static constexpr std::chrono::seconds kFirstPause{2};
  static constexpr std::chrono::minutes kLongestPause{10};

  // A certificate is not renewed sooner, nor left longer, whatever its issuer says.
  static constexpr std::chrono::minutes kSoonest{10};
  static constexpr std::chrono::hours kLatest{30 * 24};

  // `spread` gives a number from 0 to 1 (1 excluded).
  explicit RenewalSchedule(std::function<double()> spread) : spread_(std::move(spread)) {}

  // certified() says that there is a certificate, to be replaced at `renew_at` of the wall clock,
  // which shows `wall` when the other shows `now`. One that is overdue is asked for at once, if it
  // was there before, and not sooner than kSoonest if it was given just now.
  void found(std::chrono::sys_seconds renew_at, std::chrono::sys_seconds wall, Time now);
  void certified(std::chrono::sys_seconds renew_at, std::chrono::sys_seconds wall, Time now);

  // failed() says that asking failed in a way that may pass; refused() that it was refused for
  // good.
  void failed(Time now);
  void refused();

  // due() is when to ask next; never, if it is nothing.
  [[nodiscard]] std::optional<Time> due() const { return due_; }

 private:
  std::function<double()> spread_;
  std::optional<Time> due_;
  Duration pause_ = kFirstPause;
};

}  // namespace vtpm::provision
