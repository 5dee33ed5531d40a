// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "keybroker/evidence/reason.h"

namespace keybroker::evidence {

enum class Outcome : std::uint8_t {
  kPass,
  kFail,
  kNotRun,    // what it needs is missing or wrong; evidence with such a check is refused
  kNotAsked,  // the policy names nothing to compare with; it decides nothing
};

// name() is the outcome as a stable lower-case word.
std::string_view name(Outcome outcome);

// Check is one named check and how it went.
struct Check {
  std::string name;  // "snp.signature"; stable
  Outcome outcome = Outcome::kNotRun;
  std::optional<Reason> reason{};  // of a failure, and of nothing else
  std::string detail{};            // one sentence
};

// A Finding is what a check found wrong. No Finding is a pass.
struct Finding {
  Reason reason;
  std::string detail;
};

// Checklist collects checks in the order in which they are made, which is constant. Evidence is
// accepted if some passed, none failed, and each could be made.
class Checklist {
 public:
  void pass(std::string name, std::string detail = {});
  void fail(std::string name, Reason reason, std::string detail);
  void not_run(std::string name, std::string why);
  void not_asked(std::string name, std::string why);

  // not_run() with several names says the same of all of them.
  void not_run(std::initializer_list<const char*> names, const std::string& why);

  // judge() records a finding as a failure, and none as a pass. It returns whether it passed.
  bool judge(std::string name, std::optional<Finding> finding, std::string passed = {});

  // append() adds checks that were made before, such as those of a chain that was kept.
  void append(const std::vector<Check>& checks);

  [[nodiscard]] const std::vector<Check>& checks() const { return checks_; }

  [[nodiscard]] std::vector<Check> take() && { return std::move(checks_); }

  // accepted() tells whether every check that was wanted passed. No check at all accepts nothing.
  [[nodiscard]] bool accepted() const;

  // first_failure() is the reason of the verdict.
  [[nodiscard]] const Check* first_failure() const;

 private:
  std::vector<Check> checks_;
};

}  // namespace keybroker::evidence
