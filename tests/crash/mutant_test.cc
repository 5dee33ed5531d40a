// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "tests/crash/explorer.h"
#include "tests/crash/seeded_random.h"

// Built once for each mutant of the store's code: the same scenarios must find that a rule is gone,
// else they are blind to it.
namespace tests::crash {
namespace {

TEST(MutantTest, IsCaught) {
  for (const auto& scenario : scenarios()) {
    seed_random(1);
    const auto findings = explore(scenario, Bounds{});
    if (!findings.violations.empty()) {
      std::printf("caught by %s\n", findings.violations.front().c_str());
      return;
    }
  }
  ADD_FAILURE() << "no scenario notices " << MUTANT;
}

}  // namespace
}  // namespace tests::crash
