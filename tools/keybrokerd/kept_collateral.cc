// SPDX-License-Identifier: Apache-2.0
#include "tools/keybrokerd/kept_collateral.h"

#include "tools/collateral/folder.h"
#include "vmgs/base/log.h"

namespace tools::keybrokerd {

namespace {

constexpr std::chrono::seconds kAge{60};

}  // namespace

base::Result<KeptCollateral::Shared> KeptCollateral::current() {
  const std::lock_guard lock(mutex_);
  const auto now = std::chrono::steady_clock::now();
  if (read_ && now < read_at_ + kAge) {
    return read_;
  }
  auto read = collateral::read_collateral(folder_);
  if (!read && !read_) {
    return base::fail(std::move(read).error());
  }
  if (read) {
    read_ = std::make_shared<const keybroker::evidence::Collateral>(*std::move(read));
  } else {
    base::log(base::LogLevel::kError,
              "the collateral of before serves on: " + read.error().message);
  }
  read_at_ = now;
  return read_;
}

base::Result<keybroker::evidence::Collateral> KeptCollateral::get(
    keybroker::evidence::Evidence& evidence) {
  TRY(collateral::add_kept_vcek(folder_, evidence));
  TRY_ASSIGN(shared, current());
  return *shared;
}

}  // namespace tools::keybrokerd
