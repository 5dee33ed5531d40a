// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "keybroker/protocol/launch_document.h"
#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"
#include "vtpm/tee/tee.h"

namespace tools::vtpm_instance {

// open_tee() opens the TEE that this machine is said to have. There are two of it: vtpm-instance is
// linked with the one that opens devices, vtpm-instance-sim with the one that simulates, and
// nothing but the choice of the program decides between them. `launch_document` is what the
// simulator's VM was launched with; hardware knows that by itself. kUnavailable if there is no such
// TEE.
base::Result<std::unique_ptr<vtpm::tee::Tee>> open_tee(keybroker::protocol::TeeFamily family,
                                                       base::ByteView launch_document);

// machine_has_tee() tells whether this process runs inside a confidential VM, by the devices that
// its kernel offers. One that may not be opened counts: it is there.
bool machine_has_tee();

// Whether that is the simulator.
extern const bool kSimulatedTee;

}  // namespace tools::vtpm_instance
