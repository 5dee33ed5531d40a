// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "keybroker/crypto/issue.h"
#include "keybroker/evidence/tpm_public.h"

namespace keybroker::authority {

// tcg-kp-EKCertificate.
inline constexpr std::string_view kEkPurposeOid = "2.23.133.8.1";

// is_endorsement_key() tells whether a key decrypts credentials and nothing else, inside its TPM.
bool is_endorsement_key(const evidence::TpmPublic& ek);

// ek_extensions() are those of an EK's certificate beyond the usual ones (TCG EK Credential Profile
// for TPM Family 2.0, 3.2): the purpose, and who made the TPM in the alternative name, critical as
// the subject is empty, with the specification that it follows.
std::vector<crypto::Extension> ek_extensions();

}  // namespace keybroker::authority
