// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <mutex>

#include "vtpm/tee/tee.h"

namespace vtpm::provision {

// SharedTee is a Tee for more than one thread: a call waits for the one before it.
class SharedTee final : public tee::Tee {
 public:
  // `tee` outlives this.
  explicit SharedTee(tee::Tee& tee) : tee_(tee) {}

  base::Result<tee::Evidence> report(const tee::ReportData& report_data) override {
    const std::lock_guard lock(busy_);
    return tee_.report(report_data);
  }

  base::Result<base::Bytes> hardware_report(const tee::ReportData& report_data) override {
    const std::lock_guard lock(busy_);
    return tee_.hardware_report(report_data);
  }

  base::Result<tee::OwnReport> own_report() override {
    const std::lock_guard lock(busy_);
    return tee_.own_report();
  }

  base::Result<base::Secret<32>> derive_key(const tee::KeyBinding& binding) override {
    const std::lock_guard lock(busy_);
    return tee_.derive_key(binding);
  }

 private:
  std::mutex busy_;
  tee::Tee& tee_;
};

}  // namespace vtpm::provision
