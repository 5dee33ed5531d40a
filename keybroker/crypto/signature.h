// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string_view>

#include "keybroker/crypto/public_key.h"
#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"

namespace keybroker::crypto {

// SHA-1 is here so that what uses it can be named: no signature by it is accepted. RSA-OAEP of
// other makers is all that still goes by it.
enum class Hash : std::uint8_t { kSha1, kSha256, kSha384, kSha512 };

// name() is "SHA-256".
std::string_view name(Hash hash);

// hash_bytes() is the length of a digest.
std::size_t hash_bytes(Hash hash);

// digest() hashes one message with a hash that is known at run time only.
base::Bytes digest(Hash hash, base::ByteView message);

// verify_rsa_pkcs1() is RSASSA-PKCS1-v1_5 and verify_rsa_pss() RSASSA-PSS (RFC 8017) with MGF1 of
// the same hash and whatever salt length the signer chose. kAuthentication if `signature` is not
// one of `message` by `key`, kInvalidArgument if `key` is not of that kind.
base::Result<void> verify_rsa_pkcs1(const PublicKey& key, Hash hash, base::ByteView message,
                                    base::ByteView signature);
base::Result<void> verify_rsa_pss(const PublicKey& key, Hash hash, base::ByteView message,
                                  base::ByteView signature);

// The two numbers of an ECDSA signature (FIPS 186-4), big-endian, of any length.
struct EcdsaNumbers {
  base::ByteView r;
  base::ByteView s;
};

// verify_ecdsa() is ECDSA. Zero and numbers not below the order of the group never verify. With
// (r, s) the pair (r, n - s) verifies too: signature bytes are no identity of what was signed.
base::Result<void> verify_ecdsa(const PublicKey& key, Hash hash, base::ByteView message,
                                const EcdsaNumbers& signature);

}  // namespace keybroker::crypto
