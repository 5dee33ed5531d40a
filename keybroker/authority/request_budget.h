// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <map>

#include "keybroker/protocol/uuid.h"

namespace keybroker::authority {

// RequestBudget says whether a VM may ask now: 16 requests at once, then one in two seconds. A
// start and its end take four of a key broker, and less of an authority, so that nobody who is well
// notices, and an instance that is not keeps an authority from nobody else. It forgets a VM within
// two seconds of its budget being whole, at the next request of anybody. One owner.
class RequestBudget {
 public:
  using Time = std::chrono::steady_clock::time_point;

  // take() is false while the VM has used up its budget. `now` never goes back.
  bool take(const protocol::Uuid& vm_id, Time now);

  [[nodiscard]] std::size_t remembered() const { return whole_at_.size(); }

 private:
  std::map<protocol::Uuid, Time> whole_at_;  // when all of the budget is there again
  Time sweep_at_ = Time::min();
};

}  // namespace keybroker::authority
