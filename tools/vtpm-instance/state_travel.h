// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "tools/vtpm-instance/launch_choice.h"
#include "tools/vtpm-instance/setup.h"
#include "tools/vtpm-instance/state_blob_codec.h"
#include "vmgs/base/result.h"

namespace tools::vtpm_instance {

// state_travel_of() is swtpm's form of the state of this VM's TPM, where the setup asks for it
// (StateBlobForm::kPlain): under the migration key where there is one, and else in the clear, as
// QEMU's own stream is. Null otherwise; what leaves sealed is for SealedStateBlobs. A confidential
// VM's stays, for whoever carries it could read it, or put a ticket of its own in place of the one
// that it is sealed to; kInvalidArgument where the setup asks for it nevertheless.
base::Result<std::unique_ptr<StateBlobCodec>> state_travel_of(const InstanceSetup& setup,
                                                              const LaunchChoice& choice);

}  // namespace tools::vtpm_instance
