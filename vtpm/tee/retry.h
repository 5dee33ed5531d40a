// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <chrono>

#include "vtpm/tee/kernel.h"

namespace vtpm::tee {

// Whether a step is to be taken again.
enum class Again { kNo, kYes };

inline constexpr int kMostTries = 10;
inline constexpr std::chrono::milliseconds kFirstWait{50};
inline constexpr std::chrono::milliseconds kLongestWait{2000};

// retry() takes `step` until it says kNo, at most ten times, and waits in between: 50 ms at first,
// twice as long each time, up to 2 s. About nine seconds in all.
template <typename Step>
void retry(Kernel& kernel, Step&& step) {
  auto wait = kFirstWait;
  for (int i = 1; step() == Again::kYes && i < kMostTries; ++i) {
    kernel.wait(wait);
    wait = std::min(2 * wait, kLongestWait);
  }
}

}  // namespace vtpm::tee
