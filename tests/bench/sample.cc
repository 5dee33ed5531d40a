// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/sample.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace tests::bench {

void Sample::add(std::chrono::nanoseconds time) {
  values_.push_back(std::chrono::duration<double, std::micro>(time).count());
}

double Sample::quantile(double part) const {
  if (values_.empty()) {
    return std::nan("");
  }
  auto sorted = values_;
  const auto last = static_cast<double>(sorted.size() - 1);
  const auto place = sorted.begin() + static_cast<std::ptrdiff_t>(std::lround(part * last));
  std::nth_element(sorted.begin(), place, sorted.end());
  return *place;
}

boost::json::object Sample::json() const {
  return {{"n", count()},
          {"p05", quantile(0.05)},
          {"p50", median()},
          {"p99", quantile(0.99)},
          {"max", quantile(1)}};
}

std::string Sample::line() const {
  return fmt::format("n={} p05={:.1f} p50={:.1f} p99={:.1f} max={:.1f}", count(), quantile(0.05),
                     median(), quantile(0.99), quantile(1));
}

Ratio ratio(const Sample& ours, const Sample& reference) {
  return {ours.median() / reference.median(), ours.quantile(0.05) / reference.quantile(0.05)};
}

}  // namespace tests::bench
