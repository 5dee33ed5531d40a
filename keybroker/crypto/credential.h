// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>

#include "keybroker/crypto/public_key.h"
#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"

namespace keybroker::crypto {

// What TPM2_ActivateCredential takes (TPM 2.0 Part 1, 24): the content of a TPM2B_ID_OBJECT and of
// a TPM2B_ENCRYPTED_SECRET, each without its size in front.
struct Credential {
  base::Bytes id_object;
  base::Bytes encrypted_secret;
};

// make_credential() wraps a secret of 1 to 32 bytes for the TPM that has both the endorsement key
// `ek` and an object with the Name `object_name`: only that TPM can unwrap it. The EK is RSA by
// TCG's template L-1: nameAlg SHA-256, symmetric AES-128-CFB. kInvalidArgument for another key or
// size.
base::Result<Credential> make_credential(const PublicKey& ek, base::ByteView object_name,
                                         std::span<const std::byte> secret);

}  // namespace keybroker::crypto
