// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "vmgs/base/cursor.h"
#include "vmgs/base/result.h"
#include "vmgs/format/tpm_permanent.h"

// Parts that the permanent and the volatile state of libtpms have in common. Each reads one whole
// part.
namespace vmgs::format::libtpms {

base::Result<TpmClock> read_orderly_data(base::Reader& in);

// read_resumable() reads STATE_RESET_DATA and then STATE_CLEAR_DATA; reversed, as volatile state
// has them, where `clear_first` says so.
base::Result<TpmResumable> read_resumable(base::Reader& in, bool clear_first);

// authority_of() looks at an authorization value and a policy that lie apart.
inline TpmAuthority authority_of(base::ByteView authorization, base::ByteView policy) {
  return {!authorization.empty(), !policy.empty()};
}

}  // namespace vmgs::format::libtpms
