// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "vmgs/base/result.h"

namespace vtpm::engine {

// warm_up() makes the process that workers are forked from pay once for what every TPM would: a
// throw-away TPM is manufactured in memory, makes an ECC key and a hash, and is powered off. No
// TPM is alive when it returns, and no secret of any VM was there. kDenied while an Engine lives.
base::Result<void> warm_up();

}  // namespace vtpm::engine
