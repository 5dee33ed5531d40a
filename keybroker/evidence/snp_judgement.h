// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "keybroker/evidence/checklist.h"
#include "keybroker/evidence/snp_policy.h"
#include "keybroker/evidence/snp_verification.h"

namespace keybroker::evidence {

// judge_snp_policy() makes the checks of what an owner accepts (`snp.tcb.order` to
// `snp.platform`), not_run_snp_policy() lists them where there is nothing to judge.
void judge_snp_policy(const SnpClaims& claims, const SnpPolicy& policy, Checklist& list);
void not_run_snp_policy(Checklist& list, const std::string& why);

}  // namespace keybroker::evidence
