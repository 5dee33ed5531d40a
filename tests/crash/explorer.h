// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tests/crash/scenario.h"

namespace tests::crash {

// How much of what can happen is looked at.
struct Bounds {
  std::size_t exhaustive_versions = 10;  // all subsets of unflushed sectors up to this many
  std::uint64_t random_states = 300;     // random ones above, for each point of a crash
  std::uint64_t seed = 1;
};

struct Findings {
  std::uint64_t crash_points = 0;       // moments at which the power was cut or the process killed
  std::uint64_t states = 0;             // disk contents that were opened, second crashes included
  std::vector<std::string> violations;  // at most a few; empty is what is wanted

  void add(const Findings& other);
};

// explore() runs the scenario on a lying disk. At every flush it cuts the power and looks at what
// may be left; before every operation it kills the process and starts again on what was not yet
// flushed. Each time the store is opened as an instance does, with a second power cut at every
// flush of that recovery, and must show
//   - the last acknowledged state or the one in flight, whole, nothing else;
//   - once a state was shown after a recovery, that state at every later opening.
Findings explore(const Scenario& scenario, const Bounds& bounds);

// explore_deep() makes a long random history with random crashes, each survived by a random subset
// of the sectors in flight, and goes on from what is left.
Findings explore_deep(Kind kind, std::uint64_t rounds, std::uint64_t seed);

}  // namespace tests::crash
