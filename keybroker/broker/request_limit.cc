// SPDX-License-Identifier: Apache-2.0
#include "keybroker/broker/request_limit.h"

#include <algorithm>

#include "vmgs/base/bytes.h"
#include "vmgs/crypto/digest.h"

namespace keybroker::broker {

bool RequestLimit::take(std::string_view caller, const protocol::Uuid& vm_id, crypto::Time now) {
  // A budget is kept for 16 bytes: here those of the pair.
  const auto digest = vmgs::crypto::sha256({vm_id, base::bytes_of(caller)});
  protocol::Uuid pair{};
  std::copy_n(digest.begin(), pair.size(), pair.begin());
  const std::lock_guard lock(mutex_);
  latest_ = std::max(latest_, now);  // the clock of a machine may be set back
  return budget_.take(pair, authority::RequestBudget::Time(latest_.time_since_epoch()));
}

bool RequestLimit::take_for_guests(const protocol::Uuid& vm_id, crypto::Time now) {
  // No caller is called nothing.
  if (take("", vm_id, now)) {
    return true;
  }
  ++unwritten_;
  return false;
}

bool RequestLimit::take_for_strangers(std::string_view caller, crypto::Time now) {
  return take(caller, {}, now);  // no VM has the id of zeros
}

}  // namespace keybroker::broker
