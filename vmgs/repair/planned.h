// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "vmgs/repair/plan.h"
#include "vmgs/repair/sick_store.h"
#include "vmgs/storage/memory.h"

// What tests of a plan share.
namespace vmgs::repair {

// codes() are those of findings, or of steps, in their order.
template <typename Coded>
std::vector<std::string> codes(const std::vector<Coded>& all) {
  std::vector<std::string> result;
  for (const auto& one : all) {
    result.push_back(one.code);
  }
  return result;
}

// plan_of() is the plan for `whole`, which is what became of `store`.
inline Plan plan_of(const SickStore& store, base::Bytes whole, const Wishes& wishes,
                    bool with_key = true) {
  storage::MemoryDevice device(std::move(whole));
  const auto key = with_key ? store.own_key() : std::nullopt;
  auto plan = plan_repair(device, store.patient(), key ? &*key : nullptr, wishes);
  EXPECT_TRUE(plan) << plan.error().message;
  return plan ? *std::move(plan) : Plan{};
}

}  // namespace vmgs::repair
