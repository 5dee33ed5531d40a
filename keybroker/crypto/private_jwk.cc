// SPDX-License-Identifier: Apache-2.0
#include "keybroker/crypto/private_jwk.h"

#include <openssl/core_names.h>

#include "keybroker/crypto/jwk.h"
#include "keybroker/crypto/openssl.h"
#include "vmgs/crypto/base64.h"

namespace keybroker::crypto {

namespace {

struct Member {
  const char* name;
  const char* parameter;
};

constexpr Member kRsaMembers[] = {
    {"d", OSSL_PKEY_PARAM_RSA_D},          {"p", OSSL_PKEY_PARAM_RSA_FACTOR1},
    {"q", OSSL_PKEY_PARAM_RSA_FACTOR2},    {"dp", OSSL_PKEY_PARAM_RSA_EXPONENT1},
    {"dq", OSSL_PKEY_PARAM_RSA_EXPONENT2}, {"qi", OSSL_PKEY_PARAM_RSA_COEFFICIENT1}};

// put() writes one secret number, `bytes` long; 0: as long as it is.
base::Result<void> put(boost::json::object& jwk, const PrivateKey& key, const Member& member,
                       std::size_t bytes) {
  BIGNUM* read = nullptr;
  if (EVP_PKEY_get_bn_param(key.handle(), member.parameter, &read) != 1) {
    return base::fail(base::ErrorCode::kInvalidArgument,
                      "the key lacks the number '" + std::string(member.name) + "' of its JWK");
  }
  const std::unique_ptr<BIGNUM, openssl::Freed<BN_clear_free>> number(read);
  const auto own = static_cast<std::size_t>(BN_num_bytes(number.get()));
  base::SecretBytes octets(bytes == 0 ? own : bytes);
  if (BN_bn2binpad(number.get(), reinterpret_cast<unsigned char*>(octets.fill().data()),
                   static_cast<int>(octets.size())) < 0) {
    return base::fail(base::ErrorCode::kInvalidArgument, "a number of the key is too long");
  }
  jwk[member.name] = vmgs::crypto::encode_base64(octets.expose(), vmgs::crypto::Base64::kUrl);
  return {};
}

}  // namespace

base::Result<boost::json::object> encode_private_jwk(const PrivateKey& key) {
  const openssl::ClearedErrors cleared;
  auto jwk = encode_jwk(key.public_key());
  if (const auto curve = key.public_key().curve()) {
    TRY(put(jwk, key, {"d", OSSL_PKEY_PARAM_PRIV_KEY}, *curve == Curve::kP256 ? 32 : 48));
    return jwk;
  }
  for (const auto& member : kRsaMembers) {
    TRY(put(jwk, key, member, 0));
  }
  return jwk;
}

}  // namespace keybroker::crypto
