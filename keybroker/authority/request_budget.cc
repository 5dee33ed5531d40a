// SPDX-License-Identifier: Apache-2.0
#include "keybroker/authority/request_budget.h"

#include <algorithm>

namespace keybroker::authority {

namespace {

constexpr int kBurst = 16;
constexpr std::chrono::seconds kPerRequest{2};

}  // namespace

bool RequestBudget::take(const protocol::Uuid& vm_id, Time now) {
  // Not at each request: a region that starts remembers thousands.
  if (now >= sweep_at_) {
    std::erase_if(whole_at_, [&](const auto& vm) { return vm.second <= now; });
    sweep_at_ = now + kPerRequest;
  }
  const auto found = whole_at_.find(vm_id);
  const auto whole_at =
      (found == whole_at_.end() ? now : std::max(found->second, now)) + kPerRequest;
  if (whole_at - now > kBurst * kPerRequest) {
    return false;
  }
  whole_at_[vm_id] = whole_at;
  return true;
}

}  // namespace keybroker::authority
