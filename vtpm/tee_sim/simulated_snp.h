// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <optional>

#include "keybroker/crypto/time.h"
#include "keybroker/evidence/snp_report.h"
#include "vmgs/base/result.h"
#include "vmgs/base/secret.h"
#include "vtpm/tee/snp_abi.h"
#include "vtpm/tee/tee.h"
#include "vtpm/tee_sim/folder.h"
#include "vtpm/tee_sim/machine.h"
#include "vtpm/tee_sim/snp_mint.h"

namespace vtpm::tee_sim {

// SimulatedSnpTee is a VM on a simulated SEV-SNP machine. Its keys are derived from the machine's
// secret and from what MSG_KEY_REQ selects, as firmware does; HOST_DATA is no input of them. Its
// reports have the real layout and are signed by the VCEK of the chip at its reported TCB.
class SimulatedSnpTee final : public tee::Tee {
 public:
  // open() launches the VM with `host_data`. Certificates that are still to be made begin at `now`.
  static base::Result<SimulatedSnpTee> open(MachineFolder folder, const SnpMachine& machine,
                                            const std::array<std::byte, 32>& host_data,
                                            keybroker::crypto::Time now);

  // report() makes the hierarchy of the product line at the first call in a folder: seconds.
  base::Result<tee::Evidence> report(const tee::ReportData& report_data) override;
  base::Result<base::Bytes> hardware_report(const tee::ReportData& report_data) override;
  base::Result<tee::OwnReport> own_report() override;
  base::Result<base::Secret<32>> derive_key(const tee::KeyBinding& binding) override;

 private:
  SimulatedSnpTee(MachineFolder folder, const SnpMachine& machine,
                  const std::array<std::byte, 32>& host_data, keybroker::crypto::Time now,
                  base::Secret<32> secret, const std::array<std::byte, 32>& report_id)
      : folder_(std::move(folder)),
        machine_(machine),
        host_data_(host_data),
        now_(now),
        secret_(std::move(secret)),
        report_id_(report_id) {}

  [[nodiscard]] keybroker::evidence::SnpReportLayout unsigned_report(
      const tee::ReportData& report_data) const;
  [[nodiscard]] base::Result<base::Secret<32>> derive(
      const tee::SnpKeyRequestLayout& request) const;

  MachineFolder folder_;
  SnpMachine machine_;
  std::array<std::byte, 32> host_data_;
  keybroker::crypto::Time now_;
  base::Secret<32> secret_;
  std::array<std::byte, 32> report_id_;  // random for each launch
  std::optional<SnpMint> mint_;
};

}  // namespace vtpm::tee_sim
