// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "tools/swtpm/state_place.h"
#include "vmgs/base/result.h"

namespace tools::swtpm {

// The texts that swtpm prints for programs, in its form: libvirt and swtpm_setup look words up in
// them, with the spaces as they are here.

// capabilities_of_swtpm() is what --print-capabilities of swtpm prints, capabilities_of_setup()
// that of swtpm_setup: what is true of ours.
std::string capabilities_of_swtpm();
std::string capabilities_of_setup();

// states_in() is what --print-states prints: which states there are and how large, whether they are
// swtpm's or ours, encrypted or not, in use or not. kIo, kCorrupt.
base::Result<std::string> states_in(const StatePlace& place);

}  // namespace tools::swtpm
