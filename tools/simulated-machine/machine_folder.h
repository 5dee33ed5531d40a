// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>

#include "keybroker/crypto/time.h"

namespace tools::simulated_machine {

// machine_folder_path() is where the simulated machine of this user lies. It stays when its VMs
// end, as a real machine does: $STRONGROOM_SIMULATED_MACHINE, else
// /var/lib/strongroom/simulated-machine for root, else ~/.local/state/strongroom/simulated-machine.
// The folders above it are made.
std::filesystem::path machine_folder_path();

// now() is the time by this host's clock.
keybroker::crypto::Time now();

}  // namespace tools::simulated_machine
