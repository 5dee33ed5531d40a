// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "vmgs/repair/plan.h"
#include "vmgs/repair/sick_store.h"

namespace vmgs::repair {

// Damage is one way for a SickStore to be sick, and what a repair is expected to do about it.
struct Damage {
  std::string name;
  std::function<void(SickStore&)> inflict;
  std::vector<std::string> steps;  // codes, in order
  Wishes wishes = {};
  // What reads afterwards, if it is not what was healthy.
  std::function<void(const SickStore&, Contents&)> then = {};
  std::function<bool(const StoreKind&)> concerns = {};
};

// damages() is every kind that a repair knows of, made on purpose.
std::vector<Damage> damages();

}  // namespace vmgs::repair
