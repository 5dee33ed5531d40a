// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "vmgs/base/result.h"
#include "vtpm/engine/nv_store.h"
#include "vtpm/provision/provision.h"

namespace vtpm::boot {

// provision_stored() provisions the TPM whose state is in `store`, between the opening of its store
// and the first power-on for its guest, and stores the result in one step. kDenied, and nothing is
// stored, for a TPM that was stopped in the middle of something: one with volatile state, or one
// that sleeps. kNotFound without a TPM; errors of provision() and of `store`. The TPM can be
// powered on whatever comes of it. No Engine may live in this process.
base::Result<provision::Provisioned> provision_stored(engine::NvStore& store);

}  // namespace vtpm::boot
