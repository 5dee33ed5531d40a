// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"
#include "vtpm/protocol/response_code.h"

namespace vtpm::protocol {

// What the dictionary attack protection of a TPM (TPM 2.0 Part 1, 19.8) shows to whoever passes its
// commands on.

// is_wrong_authorization() tells that a failed authorization was counted, or met a TPM that is in
// lockout: TPM_RC_AUTH_FAIL of any session, or TPM_RC_LOCKOUT.
bool is_wrong_authorization(ResponseCode code);

// ask_lockout() is TPM2_GetCapability (TPM 2.0 Part 3, 30.2) of TPM_PT_PERMANENT.
base::Bytes ask_lockout();

// decode_lockout() reads inLockout (TPM 2.0 Part 2, 8.6) out of the response. kCorrupt if it is not
// one to ask_lockout(), an error of the TPM included.
base::Result<bool> decode_lockout(base::ByteView response);

}  // namespace vtpm::protocol
