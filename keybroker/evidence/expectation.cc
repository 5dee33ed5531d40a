// SPDX-License-Identifier: Apache-2.0
#include "keybroker/evidence/expectation.h"

#include <algorithm>

namespace keybroker::evidence {

void judge_expected(Checklist& list, const std::string& name, const Expectation& expectation,
                    base::ByteView value, Reason reason, const std::string& what) {
  if (!expectation.is_list()) {
    list.not_asked(name, expectation.is_set() ? "the policy takes any " + what
                                              : "the policy names no " + what);
    return;
  }
  const bool known = std::ranges::any_of(expectation.values, [&](const base::Bytes& allowed) {
    return std::ranges::equal(allowed, value);
  });
  if (!known) {
    list.fail(name, reason,
              "the " + what + " " + base::to_hex(value) + " is not one that the policy names");
    return;
  }
  list.pass(name);
}

}  // namespace keybroker::evidence
