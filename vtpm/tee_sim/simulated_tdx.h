// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <optional>

#include "keybroker/crypto/time.h"
#include "keybroker/evidence/td_report.h"
#include "vmgs/base/result.h"
#include "vmgs/base/secret.h"
#include "vtpm/tee/tdx_abi.h"
#include "vtpm/tee/tee.h"
#include "vtpm/tee_sim/folder.h"
#include "vtpm/tee_sim/machine.h"
#include "vtpm/tee_sim/quoting.h"

namespace vtpm::tee_sim {

// SimulatedTdxTee is a TD on a simulated machine. Its seal keys are derived as TDKEYREQUEST asks:
// from the registers that KEYPOLICY names, the masked attributes, both SVNs and the salt. Its
// quotes are signed by a quoting enclave whose PCK leads to the machine's own root.
class SimulatedTdxTee final : public tee::Tee {
 public:
  // open() launches the TD with `mr_config_id`. Certificates still to be made begin at `now`.
  static base::Result<SimulatedTdxTee> open(MachineFolder folder, const TdxMachine& machine,
                                            const keybroker::evidence::TdxDigest& mr_config_id,
                                            keybroker::crypto::Time now);

  base::Result<tee::Evidence> report(const tee::ReportData& report_data) override;
  base::Result<base::Bytes> hardware_report(const tee::ReportData& report_data) override;
  base::Result<tee::OwnReport> own_report() override;
  base::Result<base::Secret<32>> derive_key(const tee::KeyBinding& binding) override;

 private:
  SimulatedTdxTee(MachineFolder folder, const TdxMachine& machine,
                  const keybroker::evidence::TdxDigest& mr_config_id, keybroker::crypto::Time now,
                  base::Secret<32> secret)
      : folder_(std::move(folder)),
        machine_(machine),
        mr_config_id_(mr_config_id),
        now_(now),
        secret_(std::move(secret)) {}

  [[nodiscard]] base::Result<base::Secret<32>> derive(
      const tee::TdxKeyRequestLayout& request) const;
  [[nodiscard]] base::Result<keybroker::evidence::TdReportLayout> td_report(
      const tee::ReportData& report_data) const;

  MachineFolder folder_;
  TdxMachine machine_;
  keybroker::evidence::TdxDigest mr_config_id_;
  keybroker::crypto::Time now_;
  base::Secret<32> secret_;
  std::optional<QuotingService> quoting_;
};

}  // namespace vtpm::tee_sim
