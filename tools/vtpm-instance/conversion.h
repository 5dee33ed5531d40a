// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "tools/vtpm-instance/launch_choice.h"
#include "tools/vtpm-instance/setup.h"
#include "vmgs/base/result.h"

namespace tools::vtpm_instance {

// convert() makes the copy of a VM's store that `setup.conversion` asks for, which opens under the
// launch document in there, and leaves the store as it is. Only protection none and host are of an
// ordinary VM, and only its store is copied: kDenied for a confidential VM, for the document of one
// or of another VM, and for an ephemeral VM, which has no store; kInvalidArgument for a document
// that is none; else the errors of copy_store().
base::Result<void> convert(const InstanceSetup& setup, const LaunchChoice& choice);

}  // namespace tools::vtpm_instance
