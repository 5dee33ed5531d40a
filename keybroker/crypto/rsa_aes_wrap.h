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

// wrap_rsa_aes() wraps a key for the holder of an RSA key as CKM_RSA_AES_KEY_WRAP does (PKCS #11
// 3.0, 2.1.21): a random AES-256 key to it by RSA-OAEP with `hash` and MGF1 of it, as long as the
// modulus, then the plaintext under that key by AES-KWP. kInvalidArgument as encrypt_oaep() and
// wrap_key(). RSA and curve keys travel as PKCS#8, symmetric ones as they are.
base::Result<base::Bytes> wrap_rsa_aes(const PublicKey& recipient, Hash hash,
                                       std::span<const std::byte> plaintext);

// unwrap_rsa_aes() is its inverse. kCorrupt for a size that wrap_rsa_aes() never gives, or an AES
// key of other than 32 bytes; kAuthentication for another key, another hash or altered bytes.
base::Result<base::SecretBytes> unwrap_rsa_aes(const PrivateKey& key, Hash hash,
                                               base::ByteView wrapped);

}  // namespace keybroker::crypto
