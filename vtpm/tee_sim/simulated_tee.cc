// SPDX-License-Identifier: Apache-2.0
#include "vtpm/tee_sim/simulated_tee.h"

#include <algorithm>
#include <array>

#include "vtpm/tee_sim/folder.h"
#include "vtpm/tee_sim/simulated_snp.h"
#include "vtpm/tee_sim/simulated_tdx.h"

namespace vtpm::tee_sim {

namespace {

using keybroker::protocol::TeeFamily;

base::Result<Machine> new_machine(TeeFamily family) {
  if (family == TeeFamily::kTdx) {
    TRY_ASSIGN(machine, new_tdx_machine());
    return Machine(machine);
  }
  TRY_ASSIGN(machine, new_snp_machine());
  return Machine(machine);
}

}  // namespace

base::Result<std::unique_ptr<tee::Tee>> open_simulated_tee(const SimulatedLaunch& launch) {
  TRY_ASSIGN(folder, MachineFolder::open(launch.machine_folder));
  TRY_ASSIGN(machine, folder.machine([&] { return new_machine(launch.family_of_new_machine); }));
  const bool snp = std::holds_alternative<SnpMachine>(machine);
  const auto digest = keybroker::protocol::launch_digest(
      launch.launch_document, snp ? TeeFamily::kSevSnp : TeeFamily::kTdx);
  if (snp) {
    std::array<std::byte, 32> host_data{};
    std::copy_n(digest.bytes.begin(), host_data.size(), host_data.begin());
    TRY_ASSIGN(tee, SimulatedSnpTee::open(std::move(folder), std::get<SnpMachine>(machine),
                                          host_data, launch.now));
    return std::unique_ptr<tee::Tee>(std::make_unique<SimulatedSnpTee>(std::move(tee)));
  }
  TRY_ASSIGN(tee, SimulatedTdxTee::open(std::move(folder), std::get<TdxMachine>(machine),
                                        digest.bytes, launch.now));
  return std::unique_ptr<tee::Tee>(std::make_unique<SimulatedTdxTee>(std::move(tee)));
}

}  // namespace vtpm::tee_sim
