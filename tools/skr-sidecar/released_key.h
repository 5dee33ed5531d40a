// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/json/object.hpp>
#include <string>
#include <string_view>

#include "keybroker/crypto/private_key.h"
#include "vmgs/base/result.h"

namespace tools::skr_sidecar {

// open_released_key() takes the key out of a broker's answer (the `value` of TOKENS.md) that one of
// the keys in `jwks` signed and that was sealed to `transfer_key`, of P-384: a JWK with the private
// half, `kid` as the broker calls it. kAuthentication if another signed it, it is another key than
// the one of that `name`, or it was sealed to another; kCorrupt for what is no such answer.
base::Result<boost::json::object> open_released_key(
    std::string_view value, const boost::json::object& jwks,
    const keybroker::crypto::PrivateKey& transfer_key, std::string_view name);

}  // namespace tools::skr_sidecar
