// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/json/object.hpp>
#include <chrono>
#include <string>
#include <vector>

namespace tests::bench {

// Sample is the times of one contestant in one comparison, in microseconds.
class Sample {
 public:
  void add(std::chrono::nanoseconds time);

  // add() with a number, for figures that are no times.
  void add(double value) { values_.push_back(value); }

  [[nodiscard]] std::size_t count() const { return values_.size(); }

  // quantile() interpolates nothing: it is the value that `part` of all are not above.
  [[nodiscard]] double quantile(double part) const;

  [[nodiscard]] double median() const { return quantile(0.5); }

  [[nodiscard]] boost::json::object json() const;

  // line() is "n=2000 p05=9.1 p50=9.7 p99=14.0 max=210.3".
  [[nodiscard]] std::string line() const;

 private:
  std::vector<double> values_;
};

// Timer measures from its making.
class Timer {
 public:
  [[nodiscard]] std::chrono::nanoseconds elapsed() const {
    return std::chrono::steady_clock::now() - begin_;
  }

 private:
  std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
};

// Ratio compares two samples of one interleaved run: by their medians, and by their fifth
// percentiles, which noise of the machine touches least.
struct Ratio {
  double of_medians = 0;
  double of_p05 = 0;
};

Ratio ratio(const Sample& ours, const Sample& reference);

}  // namespace tests::bench
