// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "keybroker/evidence/checklist.h"
#include "vmgs/base/bytes.h"

namespace keybroker::evidence {

// Expectation is what a policy says about one value: nothing, that any will do, or that it is one
// of a list. "Nothing" and "any" differ where a value must be decided upon.
struct Expectation {
  enum class Kind : std::uint8_t { kUnset, kAny, kOneOf };

  Kind kind = Kind::kUnset;
  std::vector<base::Bytes> values{};

  static Expectation any() { return {Kind::kAny, {}}; }

  static Expectation one_of(std::vector<base::Bytes> values) {
    return {Kind::kOneOf, std::move(values)};
  }

  [[nodiscard]] bool is_list() const { return kind == Kind::kOneOf; }

  [[nodiscard]] bool is_set() const { return kind != Kind::kUnset; }
};

// judge_expected() records under `name` whether `value` is as expected: `reason` if a list does not
// have it, not asked if there is no list. `what` names the value for people.
void judge_expected(Checklist& list, const std::string& name, const Expectation& expectation,
                    base::ByteView value, Reason reason, const std::string& what);

}  // namespace keybroker::evidence
