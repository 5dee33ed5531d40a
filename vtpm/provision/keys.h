// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <tss2/tss2_esys.h>

#include <optional>
#include <span>
#include <string_view>

#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"

namespace vtpm::provision {

// PublicKey is the public side of an object of the TPM.
struct PublicKey {
  base::Bytes area;  // TPMT_PUBLIC
  base::Bytes name;  // its Name: the algorithm and the digest of the area

  friend bool operator==(const PublicKey&, const PublicKey&) = default;
};

// A primary key that belongs at a persistent handle.
struct KeyPlace {
  std::string_view what;
  TPM2_HANDLE handle;
  ESYS_TR hierarchy;  // ESYS_TR_RH_ENDORSEMENT or ESYS_TR_RH_OWNER
  TPM2B_PUBLIC (*make_template)();
};

// The six keys of every TPM of ours. What stands at an attestation or endorsement key's handle must
// be that key; a storage key's handle belongs to the guest once it holds something.
std::span<const KeyPlace> attestation_places();  // RSA AK, ECC AK
std::span<const KeyPlace> endorsement_places();  // RSA EK, ECC EK
std::span<const KeyPlace> storage_places();      // RSA SRK, ECC SRK

// key_at() reads what is persistent at `handle`, which needs no authorization; nothing if there is
// nothing.
base::Result<std::optional<PublicKey>> key_at(ESYS_CONTEXT* esys, TPM2_HANDLE handle);

// follows_template() tells whether all of a public area but what the TPM fills in is that of the
// key that belongs at `place`.
bool follows_template(const PublicKey& key, const KeyPlace& place);

// primary_key() makes the key of `place` for a moment, to see its public side. kDenied where the
// guest has set the hierarchy's authorization.
base::Result<PublicKey> primary_key(ESYS_CONTEXT* esys, const KeyPlace& place);

// put_key() makes the key of `place` persistent, in the stead of what is there. kDenied where the
// guest has set the authorization of the hierarchy or of the owner; then nothing has changed.
base::Result<PublicKey> put_key(ESYS_CONTEXT* esys, const KeyPlace& place);

// put_key_again() does so at a handle where there is nothing, if the key that it makes is `wanted`.
// kDenied too where it is not: then the seeds are others.
base::Result<void> put_key_again(ESYS_CONTEXT* esys, const KeyPlace& place,
                                 const PublicKey& wanted);

}  // namespace vtpm::provision
