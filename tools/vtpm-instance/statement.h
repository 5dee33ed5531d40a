// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "tools/vtpm-instance/launch_choice.h"
#include "tools/vtpm-instance/setup.h"
#include "tools/vtpm-instance/tpm_state.h"
#include "vmgs/base/result.h"
#include "vtpm/boot/broker_boot.h"
#include "vtpm/provision/report.h"

namespace tools::vtpm_instance {

// statement_of() is what the claims of this VM say besides the keys of its TPM; for a VM of
// protection broker with what `broker` knows now. Errors of the TEE.
base::Result<vtpm::provision::Statement> statement_of(const InstanceSetup& setup,
                                                      const LaunchChoice& choice,
                                                      const TpmState::Identity& identity,
                                                      const vtpm::boot::BrokerBoot* broker);

// tell_freshness() has it say what `broker` knows by now.
void tell_freshness(vtpm::provision::Statement& statement, const vtpm::boot::BrokerBoot& broker);

}  // namespace tools::vtpm_instance
