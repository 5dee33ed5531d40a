// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "keybroker/crypto/private_key.h"
#include "keybroker/crypto/public_key.h"
#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"

namespace keybroker::crypto {

// The longest token that is read.
inline constexpr std::size_t kMostJwsBytes = 64 * 1024;

// sign_jws() is a JWS in compact form (RFC 7515, 7.1) with the header {"alg":"ES384","kid":...,
// "typ":...}. kInvalidArgument if the key is not of P-384, or the token would be longer than
// kMostJwsBytes.
base::Result<std::string> sign_jws(const PrivateKey& key, const std::string& key_id,
                                   const std::string& type, base::ByteView payload);

// verify_jws() gives the payload of a token that `key`, of P-384, signed. There is one algorithm,
// ES384: `none`, any other and an empty signature are refused. The header has `alg`, and may have
// `kid` and `typ`, which must be `type`; any other member (crit, jku, jwk, x5c, ...) is refused,
// for none of them may say what to trust. kCorrupt for what is no such token, kAuthentication if
// the signature is not that of `key`, kInvalidArgument for a key of another kind.
base::Result<base::Bytes> verify_jws(std::string_view token, const PublicKey& key,
                                     std::string_view type);

// unverified_key_id() is the `kid` of a token, to look up the key by; empty if it has none. Nothing
// of the token is verified. kCorrupt for what is no token.
base::Result<std::string> unverified_key_id(std::string_view token);

}  // namespace keybroker::crypto
