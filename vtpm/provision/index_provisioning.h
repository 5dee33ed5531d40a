// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <tss2/tss2_esys.h>

#include "vtpm/provision/certificates.h"
#include "vtpm/provision/provision.h"

namespace vtpm::provision {

// The part of provision() that is about NV indices, in the life it has begun. What goes wrong is
// noted in `provisioned`.

// certificates_fit() tells whether provision() has nothing to do about certificates if these keys
// are the TPM's own: what is stored is for them, states the launch that there was, and none is
// missing that could be asked for.
bool certificates_fit(const StoredCertificates& stored, const PublicKey& rsa_ak,
                      const PublicKey& rsa_ek, const ProvisionWishes& wishes);

// renew_indices() defines the indices anew under a fresh password. The certificates of this AK are
// carried over, and those that are not for the keys of this TPM, or state another launch of its VM,
// are dropped.
void renew_indices(ESYS_CONTEXT* esys, Provisioned& provisioned, const StoredCertificates& stored,
                   const ProvisionWishes& wishes);

// see_to_certificates() has the AK certified and writes what it gets, where anything is missing.
void see_to_certificates(ESYS_CONTEXT* esys, Provisioned& provisioned,
                         const StoredCertificates& stored, const ProvisionWishes& wishes);

}  // namespace vtpm::provision
