// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/json/object.hpp>
#include <string_view>
#include <vector>

#include "keybroker/crypto/private_key.h"
#include "vmgs/base/result.h"
#include "vmgs/base/secret.h"

namespace keybroker::broker {

inline constexpr std::size_t kMostTokenKeys = 4;

// TokenKeys sign attestation tokens. They are no answer keys: who believes a token believes it for
// what a JWKS says over TLS, and no launch document pins them. The newest signs; all verify, so
// that a token outlives the change of its key. All replicas of a broker share them. Immutable.
class TokenKeys {
 public:
  // with() takes the keys, the newest last. kInvalidArgument for none, more than kMostTokenKeys,
  // one that is not of P-384, and one that is there twice.
  static base::Result<TokenKeys> with(std::vector<crypto::PrivateKey> keys);

  // generate() is one new key; adding_one() is these and a new one above them, without the oldest
  // where that would be too many.
  static base::Result<TokenKeys> generate();
  [[nodiscard]] base::Result<TokenKeys> adding_one() const;

  [[nodiscard]] const std::vector<crypto::PrivateKey>& keys() const { return keys_; }

  [[nodiscard]] const crypto::PrivateKey& newest() const { return keys_.back(); }

  // find() is the key of that `kid`, the thumbprint of RFC 7638; nullptr if none of these is it.
  [[nodiscard]] const crypto::PublicKey* find(std::string_view key_id) const;

  // jwks() is the set of the public keys (RFC 7517, 5), the newest first.
  [[nodiscard]] boost::json::object jwks() const;

 private:
  explicit TokenKeys(std::vector<crypto::PrivateKey> keys) : keys_(std::move(keys)) {}

  std::vector<crypto::PrivateKey> keys_;
};

// encode() writes the keys as PEM (PKCS #8, not encrypted), the newest last, for a file that is
// closed to others. decode_token_keys() reads that; kCorrupt for anything else.
base::Result<base::SecretBytes> encode(const TokenKeys& keys);
base::Result<TokenKeys> decode_token_keys(const base::SecretBytes& pem);

}  // namespace keybroker::broker
