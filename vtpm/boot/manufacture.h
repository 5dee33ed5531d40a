// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "vmgs/base/result.h"
#include "vmgs/base/secret.h"

namespace vtpm::boot {

// manufacture() makes a new TPM with new seeds, in memory, and gives its permanent state; the TPM
// itself is gone again. kDenied while an Engine lives.
base::Result<base::SecretBytes> manufacture();

}  // namespace vtpm::boot
