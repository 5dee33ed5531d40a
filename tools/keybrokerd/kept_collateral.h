// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <filesystem>
#include <memory>
#include <mutex>
#include <utility>

#include "keybroker/evidence/verify.h"
#include "vmgs/base/result.h"

namespace tools::keybrokerd {

// KeptCollateral is what vendors publish, as it lies in a folder that is renewed while the broker
// runs: read once a minute, not once a request. Any thread.
class KeptCollateral {
 public:
  explicit KeptCollateral(std::filesystem::path folder) : folder_(std::move(folder)) {}

  // get() gives it, and adds to evidence that came without certificates those that are kept for its
  // machine. What was read last serves on where the folder cannot be read now.
  base::Result<keybroker::evidence::Collateral> get(keybroker::evidence::Evidence& evidence);

 private:
  using Shared = std::shared_ptr<const keybroker::evidence::Collateral>;

  base::Result<Shared> current();

  const std::filesystem::path folder_;
  std::mutex mutex_;
  Shared read_;
  std::chrono::steady_clock::time_point read_at_;
};

}  // namespace tools::keybrokerd
