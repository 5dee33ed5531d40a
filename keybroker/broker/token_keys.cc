// SPDX-License-Identifier: Apache-2.0
#include "keybroker/broker/token_keys.h"

#include <algorithm>
#include <boost/json/array.hpp>
#include <string>

#include "keybroker/broker/broker_keys.h"
#include "keybroker/crypto/jwk.h"

namespace keybroker::broker {

namespace {

using base::ErrorCode;

constexpr std::string_view kEnd = "-----END PRIVATE KEY-----\n";

}  // namespace

base::Result<TokenKeys> TokenKeys::with(std::vector<crypto::PrivateKey> keys) {
  if (keys.empty() || keys.size() > kMostTokenKeys) {
    return base::fail(ErrorCode::kInvalidArgument,
                      "there are " + std::to_string(keys.size()) + " token keys; 1 to " +
                          std::to_string(kMostTokenKeys) + " are allowed");
  }
  for (std::size_t i = 0; i < keys.size(); ++i) {
    const auto& key = keys[i].public_key();
    if (key.curve() != crypto::Curve::kP384) {
      return base::fail(ErrorCode::kInvalidArgument,
                        "a token key is of P-384, and not " + key.describe());
    }
    const auto is_key = [&key](const auto& other) { return other.public_key() == key; };
    if (std::any_of(keys.begin(), keys.begin() + static_cast<std::ptrdiff_t>(i), is_key)) {
      return base::fail(ErrorCode::kInvalidArgument, "a token key is there twice");
    }
  }
  return TokenKeys(std::move(keys));
}

base::Result<TokenKeys> TokenKeys::generate() {
  TRY_ASSIGN(key, crypto::PrivateKey::generate_ec(crypto::Curve::kP384));
  return with({std::move(key)});
}

base::Result<TokenKeys> TokenKeys::adding_one() const {
  auto keys = keys_;
  if (keys.size() == kMostTokenKeys) {
    keys.erase(keys.begin());
  }
  TRY_ASSIGN(key, crypto::PrivateKey::generate_ec(crypto::Curve::kP384));
  keys.push_back(std::move(key));
  return with(std::move(keys));
}

const crypto::PublicKey* TokenKeys::find(std::string_view key_id) const {
  for (const auto& key : keys_) {
    if (crypto::jwk_thumbprint(key.public_key()) == key_id) {
      return &key.public_key();
    }
  }
  return nullptr;
}

boost::json::object TokenKeys::jwks() const {
  boost::json::array keys;
  for (auto key = keys_.rbegin(); key != keys_.rend(); ++key) {
    auto jwk = crypto::encode_jwk(key->public_key());
    jwk["kid"] = crypto::jwk_thumbprint(key->public_key());
    jwk["use"] = "sig";
    jwk["alg"] = "ES384";
    keys.push_back(std::move(jwk));
  }
  return {{"keys", std::move(keys)}};
}

base::Result<base::SecretBytes> encode(const TokenKeys& keys) {
  std::vector<base::SecretBytes> blocks;
  std::size_t size = 0;
  for (const auto& key : keys.keys()) {
    TRY_ASSIGN(block, key.to_pem());
    size += block.size();
    blocks.push_back(std::move(block));
  }
  base::SecretBytes pem(size);
  auto out = pem.fill().begin();
  for (const auto& block : blocks) {
    out = std::ranges::copy(block.expose(), out).out;
  }
  return pem;
}

base::Result<TokenKeys> decode_token_keys(const base::SecretBytes& pem) {
  const auto damaged = [](const std::string& why) { return base::fail(ErrorCode::kCorrupt, why); };
  if (pem.size() > kMaxBrokerKeyFileBytes) {
    return damaged("it is larger than " + std::to_string(kMaxBrokerKeyFileBytes) + " bytes");
  }
  auto rest = pem.expose();
  std::vector<crypto::PrivateKey> keys;
  while (!rest.empty() && keys.size() <= kMostTokenKeys) {
    const std::string_view text(reinterpret_cast<const char*>(rest.data()), rest.size());
    const auto end = text.find(kEnd);
    if (end == std::string_view::npos) {
      return damaged("it is not private keys in PEM");
    }
    auto key = crypto::PrivateKey::from_pem(rest.first(end + kEnd.size()));
    if (!key) {
      return damaged("key " + std::to_string(keys.size() + 1) + ": " + key.error().message);
    }
    keys.push_back(*std::move(key));
    rest = rest.subspan(end + kEnd.size());
  }
  auto decoded = TokenKeys::with(std::move(keys));
  if (!decoded) {
    return damaged(decoded.error().message);
  }
  return decoded;
}

}  // namespace keybroker::broker
