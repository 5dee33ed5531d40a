// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "vmgs/base/result.h"
#include "vtpm/boot/state_store.h"
#include "vtpm/engine/nv_store.h"
#include "vtpm/provision/provision.h"

namespace vtpm::boot {

// provision_stored() provisions the TPM whose state is in `store`, between the opening of its store
// and the first power-on for its guest, and stores the result in one step. kDenied, and nothing is
// stored, for a TPM that was stopped in the middle of something: one with volatile state, or one
// that sleeps. kNotFound without a TPM; errors of provision() and of `store`. The TPM can be
// powered on whatever comes of it. No Engine may live in this process.
base::Result<provision::Provisioned> provision_stored(
    engine::NvStore& store, const provision::ProvisionWishes& wishes = {},
    provision::Past past = provision::Past::kUsed);

// The same for a store, in which the seeds may have lived under a stronger protection before: then
// the TPM gets another endorsement seed, in the same step, as certificates have vouched for the one
// it had. Until it has one it does not attest.
base::Result<provision::Provisioned> provision_stored(
    StateStore& store, provision::ProvisionWishes wishes = {},
    provision::Past past = provision::Past::kUsed);

}  // namespace vtpm::boot
