// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"
#include "vmgs/base/secret.h"
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

// LockoutState is how the protection stands, and its parameters (TPM 2.0 Part 2, 6.13).
struct LockoutState {
  std::uint32_t failed_tries = 0;
  std::uint32_t max_tries = 0;         // as many failed tries lock the TPM
  std::uint32_t recovery_seconds = 0;  // after so long one failed try is forgotten
  std::uint32_t lockout_recovery_seconds =
      0;  // after so long a wrong lockout authorization is; 0: by a reset
  bool locked_out = false;
  bool has_authorization = false;  // for the lockout hierarchy

  bool operator==(const LockoutState&) const = default;
};

// ask_lockout_state() is TPM2_GetCapability of the variable properties.
base::Bytes ask_lockout_state();

// decode_lockout_state() reads the response. kCorrupt if it is not one to ask_lockout_state();
// kUnavailable if the TPM has had no Startup yet.
base::Result<LockoutState> decode_lockout_state(base::ByteView response);

// reset_lockout() is TPM2_DictionaryAttackLockReset (TPM 2.0 Part 3, 25.2) by the authorization of
// the lockout hierarchy, at most kMaxAuthorizationBytes.
inline constexpr std::size_t kMaxAuthorizationBytes = 64;
base::SecretBytes reset_lockout(base::ByteView authorization);

// outcome_of_reset() reads its response. kAuthentication: the authorization was wrong, and no other
// is taken for lockout_recovery_seconds; kUnavailable: that was so before, or the TPM has had no
// Startup yet; else kCorrupt.
base::Result<void> outcome_of_reset(base::ByteView response);

}  // namespace vtpm::protocol
