// SPDX-License-Identifier: Apache-2.0
#include "keybroker/evidence/snp_certificates.h"
#include "tests/integration/release_machine.h"
#include "tests/integration/snp_case.h"

namespace tests::integration {

keybroker::client::ShownEvidence show_snp(base::ByteView launch, base::ByteView report_data,
                                          const MachineState& state) {
  static const SnpCase machine;
  auto asked = machine;
  asked.report.measurement.fill(std::byte{0x5E});
  std::ranges::copy(launch, asked.report.host_data.begin());
  std::ranges::copy(report_data, asked.report.report_data.begin());
  asked.report.vmpl = state.vmpl;
  if (state.debug) {
    asked.report.policy = asked.report.policy.value() | (1U << 19U);
  }
  const auto made = asked.evidence();
  const auto& certificates = made.snp_certificates;
  return {*made.snp_report, encode_snp_certificates({{kVcekGuid, certificates.at(0).der()},
                                                     {kAskGuid, certificates.at(1).der()},
                                                     {kArkGuid, certificates.at(2).der()}})};
}

void add_snp(Collateral& collateral, std::vector<SlottedRoot>& roots) {
  const SnpCase machine;
  collateral.snp_crls = machine.crls;
  roots.push_back({root_slot(machine.product), machine.mint().ark()});
}

}  // namespace tests::integration
