// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <tss2/tss2_esys.h>

#include "vmgs/base/result.h"
#include "vmgs/base/secret.h"
#include "vtpm/provision/certifier.h"

namespace vtpm::provision {

// activate_credential() unwraps the secret of a challenge with the RSA AK and EK at their handles
// (TPM2_ActivateCredential; TPM 2.0 Part 3, 12.5). It takes a session and the endorsement
// authorization, so it is for a life of our own. kDenied where the guest has set that
// authorization; kAuthentication for a challenge that was not made for these keys.
base::Result<base::SecretBytes> activate_credential(ESYS_CONTEXT* esys,
                                                    const CredentialChallenge& challenge);

}  // namespace vtpm::provision
