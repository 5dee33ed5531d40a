// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "tests/crash/explorer.h"
#include "tests/crash/seeded_random.h"

// The power-cut proof. CRASH_SEED replays a run, CRASH_SCALE makes it so many times larger.
namespace tests::crash {
namespace {

std::uint64_t from_environment(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

std::uint64_t seed() { return from_environment("CRASH_SEED", 1); }

std::uint64_t scale() { return from_environment("CRASH_SCALE", 1); }

Bounds bounds() {
  Bounds bounds;
  bounds.seed = seed();
  bounds.random_states *= scale();
  for (auto left = scale(); left >= 4 && bounds.exhaustive_versions < 18; left /= 4) {
    bounds.exhaustive_versions += 2;
  }
  return bounds;
}

void report(const std::string& what, const Findings& findings) {
  std::printf(
      "%s: %llu states at %llu crash points, %zu violations (replay: CRASH_SEED=%llu "
      "CRASH_SCALE=%llu)\n",
      what.c_str(), static_cast<unsigned long long>(findings.states),
      static_cast<unsigned long long>(findings.crash_points), findings.violations.size(),
      static_cast<unsigned long long>(seed()), static_cast<unsigned long long>(scale()));
  for (const auto& violation : findings.violations) {
    ADD_FAILURE() << violation;
  }
}

TEST(CrashTest, EveryScenarioShowsTheAcknowledgedStateOrTheOneInFlight) {
  std::printf(
      "all subsets of up to %zu unflushed sector versions, above that prefixes, subsets of whole "
      "writes, single sectors and %llu random subsets\n",
      bounds().exhaustive_versions, static_cast<unsigned long long>(bounds().random_states));
  Findings total;
  for (const auto& scenario : scenarios()) {
    seed_random(seed());
    const auto findings = explore(scenario, bounds());
    report(scenario.name, findings);
    total.add(findings);
  }
  report("all scenarios", total);
}

TEST(CrashTest, LongRandomHistoriesSurviveCrashAfterCrash) {
  Findings total;
  for (const auto kind : {Kind::kEncrypted, Kind::kPlaintext, Kind::kMixed}) {
    for (std::uint64_t run = 0; run < 2 * scale(); ++run) {
      seed_random(seed() + run);
      total.add(explore_deep(kind, 150, seed() + run));
    }
  }
  report("deep runs", total);
}

}  // namespace
}  // namespace tests::crash
