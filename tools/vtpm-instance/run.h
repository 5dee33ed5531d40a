// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "tools/vtpm-instance/setup.h"
#include "tools/vtpm-instance/supervisor.h"
#include "vmgs/base/result.h"

namespace tools::vtpm_instance {

// run() is the whole life of one instance, from its launch choice to its orderly end: by SHUTDOWN
// of its hypervisor, an order of its supervisor, SIGTERM or SIGINT. The calling thread serves the
// control channel, another one the TPM. One run to a process. An error is why it could not begin,
// or why its end was not orderly; the supervisor has heard it, too.
base::Result<void> run(InstanceSetup setup, Supervisor& supervisor);

}  // namespace tools::vtpm_instance
