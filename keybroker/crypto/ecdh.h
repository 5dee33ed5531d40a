// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "keybroker/crypto/private_key.h"
#include "keybroker/crypto/public_key.h"
#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"
#include "vmgs/base/secret.h"

namespace keybroker::crypto {

// The octets of an uncompressed point of P-384 (SEC 1, 2.3.3): 04, x, y.
inline constexpr std::size_t kP384PointBytes = 97;

// encode_p384_point() writes the point of a key, decode_p384_point() reads one. kInvalidArgument if
// the key is of another kind; kCorrupt for octets of another size or form, at infinity, or off the
// curve.
base::Result<base::Bytes> encode_p384_point(const PublicKey& key);
base::Result<PublicKey> decode_p384_point(base::ByteView octets);

// agree_p384() is ECDH on P-384 (NIST SP 800-56A, 5.7.1.2): the x coordinate of the shared point.
// It is no key yet; derive one from it. kInvalidArgument if a key is of another kind, or the peer's
// not a point of the curve.
base::Result<base::Secret<48>> agree_p384(const PrivateKey& own, const PublicKey& peer);

}  // namespace keybroker::crypto
