// SPDX-License-Identifier: Apache-2.0
#include "tests/integration/release_machine.h"
#include "tests/integration/td_case.h"

namespace tests::integration {

keybroker::client::ShownEvidence show_td(base::ByteView launch, base::ByteView report_data,
                                         const MachineState& state) {
  static const TdCase machine;
  auto asked = machine;
  std::ranges::copy(launch, asked.quote.body.mr_config_id.begin());
  std::ranges::copy(report_data, asked.quote.body.report_data.begin());
  if (state.debug) {
    asked.quote.body.attributes = asked.quote.body.attributes.value() | 1U;
  }
  return {asked.bytes(), {}};
}

void add_tdx(Collateral& collateral, std::vector<SlottedRoot>& roots) {
  collateral.tdx = TdCase().collateral().tdx;
  roots.push_back({RootSlot::kIntelSgx, tdx_mint().root()});
}

}  // namespace tests::integration
