// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <string_view>

#include "keybroker/authority/request_budget.h"
#include "keybroker/crypto/time.h"
#include "keybroker/protocol/launch_document.h"

namespace keybroker::broker {

// RequestLimit keeps one host from asking for one VM all the time: each claim would fence the boot
// before, and each refusal is a line in a log. What one host uses up is nobody else's, so that none
// can keep a VM from another host. The numbers are RequestBudget's. Any thread.
class RequestLimit {
 public:
  // take() is false while `caller`, the name in a host's certificate, has asked too often for the
  // VM.
  bool take(std::string_view caller, const protocol::Uuid& vm_id, crypto::Time now);

  // take_for_strangers() is the budget for lines in the log about VMs that were only named, all of
  // them together: ids are without number, and so would be the lines.
  bool take_for_strangers(std::string_view caller, crypto::Time now);

  // take_for_guests() is the budget for lines in a VM's log about callers who have shown nothing,
  // all of them together. unwritten() is how many lines it has kept out.
  bool take_for_guests(const protocol::Uuid& vm_id, crypto::Time now);

  [[nodiscard]] std::uint64_t unwritten() const { return unwritten_; }

 private:
  std::mutex mutex_;
  authority::RequestBudget budget_;
  crypto::Time latest_{};
  std::atomic<std::uint64_t> unwritten_ = 0;
};

}  // namespace keybroker::broker
