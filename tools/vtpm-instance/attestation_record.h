// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "keybroker/protocol/succession.pb.h"
#include "tools/vtpm-instance/attestation_upkeep.h"
#include "vmgs/base/result.h"
#include "vmgs/base/secret.h"
#include "vtpm/provision/provision.h"

namespace tools::vtpm_instance {

// What an instance knows of how its TPM attests, as it passes to its successor. The password of our
// indices goes beside it, as a secret.
strongroom::instance::v1::Attestation record_of(const AttestationUpkeep::Begun& begun);

// begun_of() reads it. What is no such record is a TPM that does not attest until its next start.
AttestationUpkeep::Begun begun_of(const strongroom::instance::v1::Attestation& record,
                                  const base::SecretBytes& index_password);

// provisioned_of() is what reports are made from; an error, where the keys are not the TPM's own.
base::Result<vtpm::provision::Provisioned> provisioned_of(
    const strongroom::instance::v1::Attestation& record, const base::SecretBytes& index_password);

}  // namespace tools::vtpm_instance
