// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/json/object.hpp>

#include "keybroker/crypto/private_key.h"
#include "vmgs/base/result.h"

namespace keybroker::crypto {

// encode_private_jwk() writes a key with its private half, for who is to have it: all members of
// RFC 7518, 6.2.2 and 6.3.2 (for RSA with the primes and exponents of the Chinese remainder
// theorem). Numbers of RSA have no leading zeros, those of a curve the length of its field. JSON is
// not wiped. kInvalidArgument for an RSA key that does not know its primes.
base::Result<boost::json::object> encode_private_jwk(const PrivateKey& key);

}  // namespace keybroker::crypto
