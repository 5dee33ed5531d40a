// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "tools/vtpm-instance/launch_choice.h"
#include "tools/vtpm-instance/setup.h"
#include "tools/vtpm-instance/supervisor.h"
#include "vmgs/base/result.h"
#include "vtpm/boot/broker_boot.h"

namespace tools::vtpm_instance {

// broker_boot() is the start of a VM of protection broker; null for any other. It asks by way of
// `supervisor` and on the word of the TEE in `choice`, which outlive it.
base::Result<std::unique_ptr<vtpm::boot::BrokerBoot>> broker_boot(const InstanceSetup& setup,
                                                                  const LaunchChoice& choice,
                                                                  Supervisor& supervisor);

}  // namespace tools::vtpm_instance
