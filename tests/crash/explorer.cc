// SPDX-License-Identifier: Apache-2.0
#include "tests/crash/explorer.h"

#include <algorithm>
#include <random>
#include <utility>

#include "tests/support/crash_states.h"
#include "tests/support/lying_disk.h"
#include "vmgs/format/blocks.h"

namespace tests::crash {

namespace {

using support::CrashOptions;
using support::CrashState;
using support::DiskImage;
using support::explore_crash_states;
using support::LyingDisk;
using support::Operation;
using vmgs::volume::Volume;

constexpr std::size_t kEnoughViolations = 5;
constexpr int kCrashesInARow = 3;  // the first one, and two during recovery

// Header slots 0 and 1 are sectors 0 and 1. A disk may tear them, but not while a store is being
// formatted: there is no second header then, and a torn one is like any other damage.
CrashOptions options_of(const Bounds& bounds) {
  CrashOptions options;
  options.exhaustive_versions = bounds.exhaustive_versions;
  options.random_states = bounds.random_states;
  options.seed = bounds.seed;
  return options;
}

DiskImage blank_disk(std::uint64_t blocks) { return DiskImage(blocks * vmgs::format::kBlockBytes); }

// Allowed is what an opening may show; `where` says where in the scenario we are.
struct Allowed {
  std::vector<MaybeState> states;
  std::string where;

  [[nodiscard]] bool has(const MaybeState& state) const {
    return std::find(states.begin(), states.end(), state) != states.end();
  }
};

class Explorer {
 public:
  explicit Explorer(const Bounds& bounds) : options_(options_of(bounds)) {}

  Findings findings;

  void tear_headers(bool tear) {
    options_.tearable_sectors =
        tear ? std::vector<std::uint64_t>{0, 1} : std::vector<std::uint64_t>{};
  }

  [[nodiscard]] bool enough() const { return findings.violations.size() >= kEnoughViolations; }

  void violation(const Allowed& allowed, const std::string& what) {
    if (enough()) {
      return;
    }
    auto text = allowed.where + ": " + what + "; allowed:";
    for (const auto& state : allowed.states) {
      text += " [" + crash::describe(state) + "]";
    }
    findings.violations.push_back(text);
  }

  // A power cut now: every content the disk may be left with is opened.
  void cut_power(const LyingDisk& disk, const Allowed& allowed, int crashes_left) {
    ++findings.crash_points;
    explore_crash_states(disk, options_, [&](const CrashState& state) {
      open(LyingDisk(state.image), allowed, crashes_left - 1);
      return !enough();
    });
  }

  // A dead process: what it wrote is still in flight when the next one opens the store.
  void kill_process(const LyingDisk& disk, const Allowed& allowed) {
    ++findings.crash_points;
    open(disk, allowed, 1);
  }

  // Opens as an instance does and checks what is seen; cuts the power again during it.
  void open(LyingDisk disk, const Allowed& allowed, int crashes_left) {
    ++findings.states;
    if (crashes_left > 0) {
      disk.before_each([&](Operation operation, const LyingDisk& now) {
        if (operation == Operation::kFlush && !now.pending().empty()) {
          cut_power(now, allowed, crashes_left);
        }
      });
    }
    const auto opened = open_as_instance(disk);
    disk.before_each({});
    if (!opened) {
      violation(allowed, "does not open: " + opened.error().message);
      return;
    }
    MaybeState seen;
    if (*opened) {
      auto state = state_of(**opened);
      if (!state) {
        violation(allowed, "does not read: " + state.error().message);
        return;
      }
      seen = *std::move(state);
    }
    if (!allowed.has(seen)) {
      violation(allowed, "shows [" + crash::describe(seen) + "]");
      return;
    }
    // From here on a guest may have seen it: a power cut must not take it back.
    if (seen && !disk.pending().empty() && crashes_left > 0) {
      cut_power(disk, {{seen}, allowed.where + ", after it was served"}, 1);
    }
  }

 private:
  CrashOptions options_;
};

base::Result<MaybeState> state_after(const std::optional<Volume>& volume) {
  if (!volume) {
    return MaybeState{};
  }
  TRY_ASSIGN(state, state_of(*volume));
  return MaybeState{std::move(state)};
}

// What the steps lead to when nothing goes wrong.
base::Result<std::vector<MaybeState>> states_of(const Scenario& scenario) {
  LyingDisk disk(blank_disk(scenario.store_blocks));
  std::optional<Volume> volume;
  std::vector<MaybeState> states{std::nullopt};
  for (const auto& step : scenario.steps) {
    TRY(step.run(disk, volume));
    TRY_ASSIGN(state, state_after(volume));
    states.push_back(std::move(state));
  }
  return states;
}

}  // namespace

void Findings::add(const Findings& other) {
  crash_points += other.crash_points;
  states += other.states;
  violations.insert(violations.end(), other.violations.begin(), other.violations.end());
}

Findings explore(const Scenario& scenario, const Bounds& bounds) {
  Explorer explorer(bounds);
  const auto states = states_of(scenario);
  if (!states) {
    explorer.violation({{}, scenario.name}, "fails without a crash: " + states.error().message);
    return explorer.findings;
  }
  LyingDisk disk(blank_disk(scenario.store_blocks));
  std::optional<Volume> volume;
  for (std::size_t i = 0; i < scenario.steps.size() && !explorer.enough(); ++i) {
    const auto& step = scenario.steps[i];
    Allowed allowed{{(*states)[i], (*states)[i + 1]}, scenario.name + ", during " + step.name};
    // A format may be cut off where the state is gone already, or only the one before is left.
    if (step.formats && i > 0) {
      allowed.states.push_back(std::nullopt);
      allowed.states.push_back((*states)[i - 1]);
    }
    disk.before_each([&](Operation operation, const LyingDisk& now) {
      if (explorer.enough() || operation == Operation::kRead) {
        return;
      }
      explorer.kill_process(now, allowed);
      if (operation == Operation::kFlush) {
        explorer.cut_power(now, allowed, kCrashesInARow);
      }
    });
    explorer.tear_headers(!step.formats);
    const auto done = step.run(disk, volume);
    disk.before_each({});
    if (!done) {
      explorer.violation(allowed, "fails: " + done.error().message);
      break;
    }
    explorer.cut_power(disk, {{(*states)[i + 1]}, scenario.name + ", after " + step.name},
                       kCrashesInARow);
  }
  return explorer.findings;
}

Findings explore_deep(Kind kind, std::uint64_t rounds, std::uint64_t seed) {
  constexpr std::uint64_t kBlocks = 24;
  std::mt19937_64 random(seed);
  Bounds bounds{.exhaustive_versions = 4, .random_states = 12, .seed = seed};
  Explorer explorer(bounds);

  LyingDisk disk(blank_disk(kBlocks));
  std::optional<Volume> volume;
  (void)format_step(kind).run(disk, volume);
  for (std::uint64_t round = 0; round < rounds && !explorer.enough(); ++round) {
    const auto before = state_after(volume);
    const auto step = random_step(kind, random());
    // The crash comes before one of the operations, or not at all.
    const auto crash_at = random() % 12;
    const bool power_cut = random() % 2 == 0;
    std::optional<LyingDisk> crashed;
    std::uint64_t operations = 0;
    disk.before_each([&](Operation operation, const LyingDisk& now) {
      if (operation != Operation::kRead && operations++ == crash_at) {
        crashed = now;
      }
    });
    const auto done = step.run(disk, volume);
    disk.before_each({});
    // A store may be too full for a step; then nothing has changed.
    const auto after = done ? state_after(volume) : before;
    if (!before || !after) {
      explorer.violation({{}, "deep run"}, "does not read");
      break;
    }
    Allowed allowed{{*before, *after},
                    "deep run, seed " + std::to_string(seed) + ", round " + std::to_string(round) +
                        ", " + step.name};
    if (!crashed) {
      allowed.states = {*after};
      explorer.cut_power(disk, allowed, 1);
      continue;
    }
    auto survivor = *crashed;
    if (power_cut) {
      const auto pick = random() % 64;
      std::uint64_t visited = 0;
      CrashOptions options = options_of(bounds);
      options.seed = random();
      explore_crash_states(*crashed, options, [&](const CrashState& state) {
        survivor = LyingDisk(state.image);
        return visited++ < pick;
      });
    }
    explorer.open(survivor, allowed, 1);
    disk = survivor;
    auto reopened = open_as_instance(disk);
    if (!reopened || !*reopened) {
      explorer.violation(allowed, "does not open to go on from");
      break;
    }
    volume = *std::move(reopened);
  }
  return explorer.findings;
}

}  // namespace tests::crash
