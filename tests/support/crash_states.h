// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "tests/support/disk_image.h"
#include "tests/support/lying_disk.h"

namespace tests::support {

struct CrashOptions {
  // With at most so many sector versions in flight, every state is visited.
  std::size_t exhaustive_versions = 12;

  // Above that, so many random states are drawn from `seed`, beside the systematic ones.
  std::uint64_t random_states = 4096;
  std::uint64_t seed = 1;

  // Sectors that need not be written whole: each write in flight to one of them may also leave its
  // first half with the old second half, the reverse, or garbage. A disk's atomic unit is at least
  // the sector, so this is meant for headers, which carry their own checksum.
  std::vector<std::uint64_t> tearable_sectors = {};
};

// One content that the disk may have after a power cut.
struct CrashState {
  DiskImage image;
  std::function<std::string()> describe;  // which sectors survived; valid during the visit
};

struct Exploration {
  std::uint64_t states = 0;  // different choices visited
  bool exhaustive = false;   // no other state is possible
};

// explore_crash_states() visits what a power cut now may leave of `disk`. Each sector in flight
// holds, independently of all others, what was durable or any one of the versions written since, so
// any subset and any order of the writes is covered; versions that differ in no byte are one.
//
// If there are too many states for all: every prefix of the sector writes; every subset of whole
// writes, up to 10 writes (above that: all but one, and only one); each version of each sector with
// all the others written, and with all the others lost; and random states, a third each with few,
// half, and most of the sectors written. No state is visited twice.
//
// A visit that returns false ends the exploration.
Exploration explore_crash_states(const LyingDisk& disk, const CrashOptions& options,
                                 const std::function<bool(const CrashState&)>& visit);

}  // namespace tests::support
