// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <deque>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include "tests/integration/freshness_world.h"

namespace tests::freshness {

// Frontier is the worlds that were reached, each looked at once and the nearest first, and the way
// to each.
class Frontier {
 protected:
  // next() goes to the next world, which is from_ then; false after the last one, or a violation.
  bool next() {
    if (frontier_.empty() || found_.violation) {
      return false;
    }
    from_ = frontier_.front();
    frontier_.pop_front();
    at_ = left_++;
    return true;
  }

  // reach() has `world` looked at, unless it was before.
  void reach(World world, const char* step, std::size_t boot = 0) {
    if (found_.violation) {
      return;
    }
    // The two places of an attacker are the same to everybody.
    if (std::memcmp(&world.slots[1], &world.slots[2], sizeof(Store)) > 0) {
      std::swap(world.slots[1], world.slots[2]);
      for (auto& instance : world.boots) {
        if (is_live(instance) && instance.slot != 0) {
          instance.slot = static_cast<Small>(3 - instance.slot);
        }
      }
    }
    if (!seen_.insert(fingerprint_of(world)).second) {
      return;
    }
    came_.push_back({static_cast<std::uint32_t>(at_), static_cast<Small>(boot), step});
    for (const auto& instance : world.boots) {
      if (instance.phase == Phase::kServing) {
        ++found_.served;
        break;
      }
    }
    frontier_.push_back(world);
  }

  void violate(Property property, const char* step, std::size_t boot) {
    if (found_.violation) {
      return;
    }
    Violation violation{property, {}};
    const auto text = [](const Came& came) {
      return "boot " + std::to_string(came.boot + 1) + ": " + came.step;
    };
    violation.steps.push_back(text({0, static_cast<Small>(boot), step}));
    for (auto at = at_; at != 0; at = came_[at].from) {
      violation.steps.insert(violation.steps.begin(), text(came_[at]));
    }
    found_.violation = std::move(violation);
  }

  void count_refusal() { ++found_.refused; }

  Explored found() {
    found_.worlds = came_.size();
    return found_;
  }

  World from_;

 private:
  struct Came {
    std::uint32_t from;
    Small boot;
    const char* step;
  };

  std::size_t at_ = 0;
  std::size_t left_ = 0;
  std::deque<World> frontier_;
  std::unordered_set<Fingerprint, FingerprintHash> seen_;
  std::vector<Came> came_;
  Explored found_;
};

}  // namespace tests::freshness
