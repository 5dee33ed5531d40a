// SPDX-License-Identifier: Apache-2.0
#include "tools/skr-sidecar/released_key.h"

#include <boost/json/array.hpp>

#include "keybroker/crypto/jwk.h"
#include "keybroker/crypto/jws.h"
#include "keybroker/crypto/key_transfer.h"
#include "keybroker/crypto/private_jwk.h"
#include "keybroker/protocol/guest_attestation.h"
#include "keybroker/protocol/strict_json.h"
#include "vmgs/crypto/base64.h"

namespace tools::skr_sidecar {

namespace {

namespace json = boost::json;
namespace crypto = keybroker::crypto;
namespace protocol = keybroker::protocol;
using base::ErrorCode;
using vmgs::crypto::Base64;

base::Result<json::object> object_of(base::ByteView bytes) {
  TRY_ASSIGN(value,
             protocol::parse_json({reinterpret_cast<const char*>(bytes.data()), bytes.size()},
                                  crypto::kMostJwsBytes));
  if (!value.is_object()) {
    return base::fail(ErrorCode::kCorrupt, "the broker's answer is no JSON object");
  }
  return std::move(value.get_object());
}

base::Result<crypto::PublicKey> signer_of(std::string_view value, const json::object& jwks) {
  TRY_ASSIGN(key_id, crypto::unverified_key_id(value));
  TRY_ASSIGN(keys, protocol::array_member(jwks, "keys"));
  for (const auto& each : *keys) {
    const auto key = each.is_object() ? crypto::decode_jwk(each.get_object())
                                      : base::fail(ErrorCode::kCorrupt, "no JWK");
    if (key && crypto::jwk_thumbprint(*key) == key_id) {
      return *key;
    }
  }
  return base::fail(ErrorCode::kAuthentication, "no key of the broker signed its answer");
}

base::Result<json::object> jwk_of(std::string_view type, const base::SecretBytes& material) {
  if (type == "oct") {
    json::object jwk;
    jwk["kty"] = "oct";
    jwk["k"] = vmgs::crypto::encode_base64(material.expose(), Base64::kUrl);
    return jwk;
  }
  TRY_ASSIGN(key, crypto::PrivateKey::from_pkcs8(material.expose()));
  return crypto::encode_private_jwk(key);
}

}  // namespace

base::Result<json::object> open_released_key(std::string_view value, const json::object& jwks,
                                             const crypto::PrivateKey& transfer_key,
                                             std::string_view name) {
  TRY_ASSIGN(signer, signer_of(value, jwks));
  TRY_ASSIGN(payload, crypto::verify_jws(value, signer, protocol::kKeyReleaseType));
  TRY_ASSIGN(answer, object_of(payload));
  TRY_ASSIGN(response, protocol::object_member(answer, "response"));
  TRY_ASSIGN(outer, protocol::object_member(*response, "key"));
  TRY_ASSIGN(key, protocol::object_member(*outer, "key"));
  TRY_ASSIGN(kid, protocol::text_member(*key, "kid"));
  TRY_ASSIGN(type, protocol::text_member(*key, "kty"));
  TRY_ASSIGN(key_hsm, protocol::text_member(*key, "key_hsm"));
  if (kid.find("/keys/" + std::string(name) + "/") == std::string::npos) {
    return base::fail(ErrorCode::kAuthentication, "the broker released another key, " + kid);
  }
  TRY_ASSIGN(wrapped_bytes, vmgs::crypto::decode_base64(key_hsm, Base64::kUrl));
  TRY_ASSIGN(wrapped, object_of(wrapped_bytes));
  TRY_ASSIGN(ciphertext_text, protocol::text_member(wrapped, "ciphertext"));
  TRY_ASSIGN(ciphertext, vmgs::crypto::decode_base64(ciphertext_text, Base64::kUrl));
  TRY_ASSIGN(material, crypto::open_sealed_to(transfer_key, crypto::TransferAlgorithm::kEcdhP384,
                                              protocol::workload_info(kid), ciphertext));
  TRY_ASSIGN(jwk, jwk_of(type, material));
  jwk["kid"] = kid;
  return jwk;
}

}  // namespace tools::skr_sidecar
