// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/json/object.hpp>
#include <filesystem>
#include <string>

#include "tests/bench/sample.h"

namespace tests::bench {

// Report prints what a benchmark found, as it finds it, and keeps the same as JSON.
class Report {
 public:
  // The machine: processor, kernel, file system of `folder`, libraries, load.
  explicit Report(const std::filesystem::path& folder);

  // title() begins a comparison.
  void title(const std::string& name);

  // sample() is one contestant's figures, `unit` such as "us".
  void sample(const std::string& name, const Sample& sample, const std::string& unit);

  // figure() is one number, `unit` such as "/s" or empty for a ratio.
  void figure(const std::string& name, double value, const std::string& unit);

  // compare() prints "ours / reference" with its aim, which is met at or below it.
  void compare(const std::string& name, const Ratio& ratio, double aim);

  // note() is a line for people.
  void note(const std::string& text);

  [[nodiscard]] boost::json::object json() const;

 private:
  boost::json::object machine_;
  boost::json::object comparisons_;
  std::string current_;
};

}  // namespace tests::bench
