// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "keybroker/evidence/ak_statement.h"
#include "keybroker/evidence/ak_verification.h"
#include "keybroker/evidence/checklist.h"
#include "keybroker/evidence/tpm_policy.h"
#include "keybroker/evidence/trust_store.h"

namespace keybroker::evidence {

// What the AK of a certificate has to be of.
struct ExpectedVm {
  std::optional<protocol::Uuid> vm_id{};  // as the policy has it
  AkClaims claims{};
};

// judge_ak_certificate() makes the checks `ak.certificate.class` and `ak.certificate.vm` of an AK
// whose certificate leads to a trusted root: no simulator's where production is judged, a class
// that the policy takes, and the VM that is expected. Gives the certificate's statement, if there
// is one of ours in it.
std::optional<AkStatement> judge_ak_certificate(const JudgedAk& ak, const ExpectedVm& expected,
                                                const AkPolicy& policy, const TrustStore& store,
                                                Checklist& list);

}  // namespace keybroker::evidence
