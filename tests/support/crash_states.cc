// SPDX-License-Identifier: Apache-2.0
#include "tests/support/crash_states.h"

#include <algorithm>
#include <cstdlib>
#include <limits>
#include <memory>
#include <random>
#include <unordered_set>
#include <utility>

namespace tests::support {

namespace {

// A sector in flight. Version 0 is the durable one, version i is versions[i - 1].
struct SectorInFlight {
  std::uint64_t index;
  std::vector<SharedSector> versions;
};

// One sector of one write: which of the sectors in flight it sets to which version.
struct Effect {
  std::size_t sector;
  unsigned char version;
};

// A choice gives each sector in flight the number of its version, one byte each.
using Choice = std::string;

bool equals(std::span<const std::byte, kSectorBytes> a,
            std::span<const std::byte, kSectorBytes> b) {
  return std::ranges::equal(a, b);
}

class Explorer {
 public:
  Explorer(const LyingDisk& disk, const CrashOptions& options,
           const std::function<bool(const CrashState&)>& visit)
      : durable_(disk.durable()), options_(options), visit_(visit) {
    for (const auto& write : disk.pending()) {
      auto& effects = writes_.emplace_back();
      for (const auto& [index, content] : write.sectors) {
        effects.push_back(version_of(index, content));
      }
    }
    for (auto& sector : sectors_) {
      if (std::ranges::count(options_.tearable_sectors, sector.index) > 0) {
        add_torn_versions(sector);
      }
    }
  }

  Exploration run() {
    std::size_t versions = 0;
    for (const auto& sector : sectors_) {
      versions += sector.versions.size();
    }
    result_.exhaustive = versions <= options_.exhaustive_versions;
    if (result_.exhaustive) {
      visit_all();
    } else {
      visit_prefixes();
      visit_whole_writes();
      visit_single_sectors();
      visit_random();
    }
    result_.exhaustive = result_.exhaustive && !stopped_;
    return result_;
  }

 private:
  Effect version_of(std::uint64_t index, const SharedSector& content) {
    auto sector = std::ranges::find(sectors_, index, &SectorInFlight::index);
    if (sector == sectors_.end()) {
      sector = sectors_.insert(sector, {index, {}});
    }
    const auto position = static_cast<std::size_t>(sector - sectors_.begin());
    return {position, number_of(*sector, content)};
  }

  // The number of a version with this content, which is made if there is none yet.
  unsigned char number_of(SectorInFlight& sector, const SharedSector& content) const {
    if (equals(durable_.sector(sector.index), *content)) {
      return 0;
    }
    const auto known = std::ranges::find_if(
        sector.versions, [&](const SharedSector& version) { return equals(*version, *content); });
    const auto number = static_cast<std::size_t>(known - sector.versions.begin()) + 1;
    if (known == sector.versions.end()) {
      sector.versions.push_back(content);
    }
    if (number > std::numeric_limits<unsigned char>::max()) {
      std::abort();  // no history of a test is that long
    }
    return static_cast<unsigned char>(number);
  }

  void add_torn_versions(SectorInFlight& sector) const {
    constexpr auto kHalf = static_cast<std::ptrdiff_t>(kSectorBytes / 2);
    const auto old = durable_.sector(sector.index);
    const auto whole = sector.versions;  // a copy: number_of() adds to the vector
    for (const auto& version : whole) {
      auto front = std::make_shared<SectorBytes>(*version);
      std::copy(old.begin() + kHalf, old.end(), front->begin() + kHalf);
      auto back = std::make_shared<SectorBytes>(*version);
      std::copy(old.begin(), old.begin() + kHalf, back->begin());
      auto garbage = std::make_shared<SectorBytes>(*version);
      for (auto& byte : *garbage) {
        byte = ~byte;
      }
      number_of(sector, std::move(front));
      number_of(sector, std::move(back));
      number_of(sector, std::move(garbage));
    }
  }

  [[nodiscard]] Choice nothing() const { return Choice(sectors_.size(), '\0'); }

  [[nodiscard]] Choice everything() const {
    Choice choice = nothing();
    for (const auto& write : writes_) {
      apply(write, choice);
    }
    return choice;
  }

  static void apply(const std::vector<Effect>& write, Choice& choice) {
    for (const auto& effect : write) {
      choice[effect.sector] = static_cast<char>(effect.version);
    }
  }

  void visit(const Choice& choice) {
    if (stopped_ || !visited_.insert(choice).second) {
      return;
    }
    CrashState state{durable_, [this, &choice] { return describe(choice); }};
    for (std::size_t i = 0; i < choice.size(); ++i) {
      if (const auto version = static_cast<unsigned char>(choice[i]); version != 0) {
        state.image.put(sectors_[i].index, sectors_[i].versions[version - 1U]);
      }
    }
    ++result_.states;
    stopped_ = !visit_(state);
  }

  [[nodiscard]] std::string describe(const Choice& choice) const {
    std::string text = "state " + std::to_string(result_.states) + " of seed " +
                       std::to_string(options_.seed) + ":";
    for (std::size_t i = 0; i < choice.size(); ++i) {
      text += " sector " + std::to_string(sectors_[i].index) + " version " +
              std::to_string(static_cast<unsigned char>(choice[i])) + "/" +
              std::to_string(sectors_[i].versions.size());
    }
    return text;
  }

  // Counts through all choices like an odometer.
  void visit_all() {
    Choice choice = nothing();
    for (;;) {
      visit(choice);
      std::size_t i = 0;
      while (i < choice.size() &&
             static_cast<unsigned char>(choice[i]) == sectors_[i].versions.size()) {
        choice[i++] = '\0';
      }
      if (i == choice.size() || stopped_) {
        return;
      }
      ++choice[i];
    }
  }

  void visit_prefixes() {
    Choice choice = nothing();
    visit(choice);
    for (const auto& write : writes_) {
      for (const auto& effect : write) {
        apply({effect}, choice);
        visit(choice);
      }
    }
  }

  void visit_whole_writes() {
    constexpr std::size_t kMostWrites = 10;
    if (writes_.size() <= kMostWrites) {
      for (std::uint32_t subset = 0; subset < (1U << writes_.size()); ++subset) {
        visit_writes([subset](std::size_t i) { return (subset >> i & 1U) != 0; });
      }
      return;
    }
    for (std::size_t one = 0; one < writes_.size(); ++one) {
      visit_writes([one](std::size_t i) { return i != one; });
      visit_writes([one](std::size_t i) { return i == one; });
    }
  }

  template <typename Survives>
  void visit_writes(Survives survives) {
    Choice choice = nothing();
    for (std::size_t i = 0; i < writes_.size(); ++i) {
      if (survives(i)) {
        apply(writes_[i], choice);
      }
    }
    visit(choice);
  }

  void visit_single_sectors() {
    for (std::size_t i = 0; i < sectors_.size(); ++i) {
      for (std::size_t version = 0; version <= sectors_[i].versions.size(); ++version) {
        for (Choice choice : {everything(), nothing()}) {
          choice[i] = static_cast<char>(version);
          visit(choice);
        }
      }
    }
  }

  void visit_random() {
    std::mt19937_64 random(options_.seed);
    for (std::uint64_t n = 0; n < options_.random_states; ++n) {
      const std::uint64_t written_of_8 = n % 3 == 0 ? 1 : n % 3 == 1 ? 4 : 7;
      Choice choice = nothing();
      for (std::size_t i = 0; i < choice.size(); ++i) {
        if (random() % 8 < written_of_8 && !sectors_[i].versions.empty()) {
          choice[i] = static_cast<char>(1 + random() % sectors_[i].versions.size());
        }
      }
      visit(choice);
    }
  }

  const DiskImage& durable_;
  const CrashOptions& options_;
  const std::function<bool(const CrashState&)>& visit_;
  std::vector<SectorInFlight> sectors_;
  std::vector<std::vector<Effect>> writes_;
  std::unordered_set<Choice> visited_;
  Exploration result_;
  bool stopped_ = false;
};

}  // namespace

Exploration explore_crash_states(const LyingDisk& disk, const CrashOptions& options,
                                 const std::function<bool(const CrashState&)>& visit) {
  return Explorer(disk, options, visit).run();
}

}  // namespace tests::support
