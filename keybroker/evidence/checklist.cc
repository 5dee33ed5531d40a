// SPDX-License-Identifier: Apache-2.0
#include "keybroker/evidence/checklist.h"

#include <algorithm>
#include <utility>

namespace keybroker::evidence {

std::string_view name(Outcome outcome) {
  switch (outcome) {
    case Outcome::kPass:
      return "pass";
    case Outcome::kFail:
      return "fail";
    case Outcome::kNotRun:
      return "not-run";
    case Outcome::kNotAsked:
      return "not-asked";
  }
  return "";
}

void Checklist::pass(std::string name, std::string detail) {
  checks_.push_back({std::move(name), Outcome::kPass, std::nullopt, std::move(detail)});
}

void Checklist::fail(std::string name, Reason reason, std::string detail) {
  checks_.push_back({std::move(name), Outcome::kFail, reason, std::move(detail)});
}

void Checklist::not_run(std::string name, std::string why) {
  checks_.push_back({std::move(name), Outcome::kNotRun, std::nullopt, std::move(why)});
}

void Checklist::not_run(std::initializer_list<const char*> names, const std::string& why) {
  for (const char* name : names) {
    not_run(std::string(name), why);
  }
}

void Checklist::not_asked(std::string name, std::string why) {
  checks_.push_back({std::move(name), Outcome::kNotAsked, std::nullopt, std::move(why)});
}

bool Checklist::judge(std::string name, std::optional<Finding> finding, std::string passed) {
  if (finding) {
    fail(std::move(name), finding->reason, std::move(finding->detail));
    return false;
  }
  pass(std::move(name), std::move(passed));
  return true;
}

void Checklist::append(const std::vector<Check>& checks) {
  checks_.insert(checks_.end(), checks.begin(), checks.end());
}

bool Checklist::accepted() const {
  const auto stands = [](const Check& check) {
    return check.outcome == Outcome::kPass || check.outcome == Outcome::kNotAsked;
  };
  return std::ranges::all_of(checks_, stands) &&
         std::ranges::find(checks_, Outcome::kPass, &Check::outcome) != checks_.end();
}

const Check* Checklist::first_failure() const {
  const auto failed = std::ranges::find(checks_, Outcome::kFail, &Check::outcome);
  return failed == checks_.end() ? nullptr : &*failed;
}

}  // namespace keybroker::evidence
