// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "keybroker/client/release.h"
#include "keybroker/evidence/verify.h"

// Simulated machines as a broker meets them when one of their VMs asks for its key.
namespace tests::integration {

// What a machine, or who runs it, can have different.
struct MachineState {
  bool debug = false;
  std::uint32_t vmpl = 0;  // SEV-SNP
};

// show_snp() and show_td() are the evidence of a VM that was launched with `launch`.
keybroker::client::ShownEvidence show_snp(base::ByteView launch, base::ByteView report_data,
                                          const MachineState& state = {});
keybroker::client::ShownEvidence show_td(base::ByteView launch, base::ByteView report_data,
                                         const MachineState& state = {});

// What the vendors of both publish, and the roots that they have. The policy takes any image.
void add_snp(keybroker::evidence::Collateral& collateral,
             std::vector<keybroker::evidence::SlottedRoot>& roots);
void add_tdx(keybroker::evidence::Collateral& collateral,
             std::vector<keybroker::evidence::SlottedRoot>& roots);

}  // namespace tests::integration
