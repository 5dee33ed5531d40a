// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>

#include "keybroker/crypto/private_key.h"
#include "keybroker/crypto/public_key.h"
#include "keybroker/crypto/signature.h"
#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"
#include "vmgs/base/secret.h"

namespace keybroker::crypto {

// encrypt_oaep() is RSAES-OAEP (RFC 8017, 7.1) with `hash` for the label and for MGF1. The result
// is as long as the modulus. kInvalidArgument if the key is not RSA, or the plaintext longer than
// the modulus less two digests and two bytes.
base::Result<base::Bytes> encrypt_oaep(const PublicKey& key, Hash hash, base::ByteView label,
                                       std::span<const std::byte> plaintext);

// decrypt_oaep() is its inverse. kInvalidArgument if the key is not RSA, kCorrupt if `ciphertext`
// is not as long as the modulus, kAuthentication if it was not encrypted to this key with this hash
// and label: the message does not say which.
base::Result<base::SecretBytes> decrypt_oaep(const PrivateKey& key, Hash hash, base::ByteView label,
                                             base::ByteView ciphertext);

}  // namespace keybroker::crypto
