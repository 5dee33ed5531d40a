// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "vmgs/base/result.h"
#include "vtpm/tee/kernel.h"
#include "vtpm/tee/tee.h"

namespace vtpm::tee {

// probe() finds the TEE that this process runs inside by the device that its kernel offers, and
// opens it. kUnavailable if there is none; the message says what is missing and what to do. kDenied
// if there is one and this user may not open it. It never falls back to anything else.
base::Result<std::unique_ptr<Tee>> probe(Kernel& kernel);

}  // namespace vtpm::tee
