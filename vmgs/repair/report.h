// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "vmgs/volume/finding.h"

namespace vmgs::repair {

// Report collects findings. `place`, if not empty, is put before the place of each.
class Report {
 public:
  explicit Report(std::string place = {}) : place_(std::move(place)) {}

  void note(std::string code, const std::string& where, std::string message) {
    add({std::move(code), volume::Severity::kNote, where, std::move(message)});
  }

  void warn(std::string code, const std::string& where, std::string message) {
    add({std::move(code), volume::Severity::kWarning, where, std::move(message)});
  }

  void error(std::string code, const std::string& where, std::string message) {
    add({std::move(code), volume::Severity::kError, where, std::move(message)});
  }

  void add(volume::Finding finding) {
    if (!place_.empty()) {
      finding.where = place_ + ", " + finding.where;
    }
    findings_.push_back(std::move(finding));
  }

  [[nodiscard]] bool has_errors() const {
    return std::any_of(findings_.begin(), findings_.end(), [](const volume::Finding& finding) {
      return finding.severity == volume::Severity::kError;
    });
  }

  [[nodiscard]] std::vector<volume::Finding> take() && { return std::move(findings_); }

 private:
  std::string place_;
  std::vector<volume::Finding> findings_;
};

}  // namespace vmgs::repair
