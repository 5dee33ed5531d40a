// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <memory>

#include "keybroker/crypto/time.h"
#include "keybroker/protocol/launch_document.h"
#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"
#include "vtpm/tee/tee.h"

namespace vtpm::tee_sim {

// How a simulated confidential VM is launched.
struct SimulatedLaunch {
  // Where the machine lives; made at first use. VMs that are given the same folder share the
  // machine: one chip, one image, one TCB.
  std::filesystem::path machine_folder;

  // The launch document as the host would deliver it; its digest becomes HOST_DATA or MRCONFIGID.
  // Any bytes will do here: whether they are a document is for whoever verifies it.
  base::Bytes launch_document;

  // What a new machine is to be. An existing one is what its machine.json says.
  keybroker::protocol::TeeFamily family_of_new_machine = keybroker::protocol::TeeFamily::kSevSnp;

  // When certificates that are still to be made begin.
  keybroker::crypto::Time now;
};

// open_simulated_tee() launches it. kInvalidArgument if machine.json cannot be understood, kDenied
// if a file of the folder is open to others, kIo.
base::Result<std::unique_ptr<tee::Tee>> open_simulated_tee(const SimulatedLaunch& launch);

}  // namespace vtpm::tee_sim
