// SPDX-License-Identifier: Apache-2.0
#include "vtpm/tee_sim/simulated_tee.h"

#include "tools/simulated-machine/machine_folder.h"
#include "tools/vtpm-instance/tee_choice.h"

namespace tools::vtpm_instance {

const bool kSimulatedTee = true;

// The simulated machine is there for who asks for it, and no sign of being inside one.
bool machine_has_tee() { return false; }

base::Result<std::unique_ptr<vtpm::tee::Tee>> open_tee(keybroker::protocol::TeeFamily family,
                                                       base::ByteView launch_document) {
  return vtpm::tee_sim::open_simulated_tee(
      {.machine_folder = simulated_machine::machine_folder_path(),
       .launch_document = base::copy_of(launch_document),
       .family_of_new_machine = family,
       .now = simulated_machine::now()});
}

}  // namespace tools::vtpm_instance
