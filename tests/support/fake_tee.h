// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "vmgs/base/result.h"
#include "vtpm/tee/tee.h"

namespace tests::support {

// FakeTee is a machine whose every property a test sets. It derives keys as the hardware binds
// them: SEV-SNP to chip, guest policy, measurement and TCB, so not to HOST_DATA; TDX to chip, MRTD,
// MRCONFIGID and SVN. Its hardware report has the right size, zero but for report_data where it
// belongs, and is its evidence too on SEV-SNP; a quote of TDX is report_data and nothing else.
class FakeTee final : public vtpm::tee::Tee {
 public:
  // An SNP machine at TCB "boot loader 3, TEE 0, SNP 8, microcode 115".
  static FakeTee snp();

  // A TDX machine at TEE_TCB_SVN 03010300..., CPUSVN 0303191b....
  static FakeTee tdx();

  base::Result<vtpm::tee::Evidence> report(const vtpm::tee::ReportData& report_data) override;
  base::Result<base::Bytes> hardware_report(const vtpm::tee::ReportData& report_data) override;
  base::Result<vtpm::tee::OwnReport> own_report() override;
  base::Result<base::Secret<32>> derive_key(const vtpm::tee::KeyBinding& binding) override;

  vtpm::tee::OwnReport machine;
  std::uint8_t chip = 1;

  // For known answers: every derived key is this one.
  std::optional<std::array<std::byte, 32>> fixed_key;

  // What fails while it is set.
  std::optional<base::Error> report_fails;
  std::optional<base::Error> derive_fails;

  // How often it was asked for a hardware report.
  int reported = 0;

  // How often a key was derived, and what for the last time.
  int derived = 0;
  vtpm::tee::KeyBinding asked;
};

}  // namespace tests::support
