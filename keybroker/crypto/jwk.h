// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/json/object.hpp>
#include <string>

#include "keybroker/crypto/public_key.h"
#include "vmgs/base/result.h"

namespace keybroker::crypto {

// encode_jwk() writes the public members of a key (RFC 7517; RFC 7518, 6.2.1 and 6.3.1), in the
// order and form that RFC 7638 hashes: kty RSA, or EC of P-256 or P-384. Add `kid`, `use` and so on
// to it.
boost::json::object encode_jwk(const PublicKey& key);

// decode_jwk() reads those members and passes over all others. kCorrupt if one is absent, has a
// wrong type or another form than encode_jwk() gives it, or if the numbers are no key.
base::Result<PublicKey> decode_jwk(const boost::json::object& jwk);

// jwk_thumbprint() is the SHA-256 thumbprint of RFC 7638 in base64url: a name that any two parties
// find alike.
std::string jwk_thumbprint(const PublicKey& key);

}  // namespace keybroker::crypto
