// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <optional>

#include "vmgs/base/result.h"
#include "vmgs/base/secret.h"
#include "vtpm/tee/kernel.h"
#include "vtpm/tee/tee.h"
#include "vtpm/tee/tsm_report.h"

namespace vtpm::tee {

inline constexpr const char* kTdxDevice = "/dev/tdx_guest";

// TdxTee asks the TDX module through Linux's tdx_guest driver, and for quotes through configfs-tsm,
// behind which the host runs a quoting enclave. Seal keys exist only where the kernel hands
// TDG.MR.KEY.GET through, which mainline Linux does not.
class TdxTee final : public Tee {
 public:
  // using_device() takes an open /dev/tdx_guest and the folder of configfs-tsm. The kernel must
  // outlive it.
  static TdxTee using_device(KernelFile device, std::filesystem::path tsm_folder = kTsmFolder) {
    return TdxTee(std::move(device), std::move(tsm_folder));
  }

  base::Result<Evidence> report(const ReportData& report_data) override;
  base::Result<base::Bytes> hardware_report(const ReportData& report_data) override;
  base::Result<OwnReport> own_report() override;

  // derive_key() is kUnavailable, and says "unsupported", where the kernel has no such call.
  base::Result<base::Secret<32>> derive_key(const KeyBinding& binding) override;

 private:
  TdxTee(KernelFile device, std::filesystem::path tsm_folder)
      : device_(std::move(device)), tsm_folder_(std::move(tsm_folder)) {}

  base::Result<OwnReport> ask_own_report();

  KernelFile device_;
  std::filesystem::path tsm_folder_;
  std::optional<OwnReport> own_report_;
};

}  // namespace vtpm::tee
