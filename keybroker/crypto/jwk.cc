// SPDX-License-Identifier: Apache-2.0
#include "keybroker/crypto/jwk.h"

#include <boost/json/serialize.hpp>

#include "keybroker/protocol/strict_json.h"
#include "vmgs/crypto/base64.h"
#include "vmgs/crypto/digest.h"

namespace keybroker::crypto {

namespace {

using vmgs::crypto::Base64;

auto corrupt(const std::string& why) {
  return base::fail(base::ErrorCode::kCorrupt, "JWK: " + why);
}

std::string text_of(base::ByteView bytes) {
  return vmgs::crypto::encode_base64(bytes, Base64::kUrl);
}

base::Result<base::Bytes> number(const boost::json::object& jwk, const char* name) {
  TRY_ASSIGN(text, protocol::text_member(jwk, name));
  auto bytes = vmgs::crypto::decode_base64(text, Base64::kUrl);
  if (!bytes) {
    return corrupt(std::string(name) + " is not base64url");
  }
  return bytes;
}

base::Result<PublicKey> checked(base::Result<PublicKey> key) {
  return key ? std::move(key) : corrupt(key.error().message);
}

base::Result<PublicKey> decode_rsa(const boost::json::object& jwk) {
  TRY_ASSIGN(modulus, number(jwk, "n"));
  TRY_ASSIGN(exponent, number(jwk, "e"));
  // RFC 7518, 6.3.1: the minimum number of octets.
  if (modulus.empty() || modulus[0] == std::byte{0} || exponent.empty() ||
      exponent[0] == std::byte{0}) {
    return corrupt("a number is empty or begins with zeros");
  }
  return checked(PublicKey::rsa({std::move(modulus), std::move(exponent)}));
}

base::Result<PublicKey> decode_ec(const boost::json::object& jwk) {
  TRY_ASSIGN(curve, protocol::text_member(jwk, "crv"));
  if (curve != "P-256" && curve != "P-384") {
    return corrupt("only the curves P-256 and P-384 are known here");
  }
  TRY_ASSIGN(x, number(jwk, "x"));
  TRY_ASSIGN(y, number(jwk, "y"));
  return checked(
      PublicKey::ec({curve == "P-256" ? Curve::kP256 : Curve::kP384, std::move(x), std::move(y)}));
}

}  // namespace

boost::json::object encode_jwk(const PublicKey& key) {
  if (const auto point = key.ec_point()) {
    return {{"crv", point->curve == Curve::kP256 ? "P-256" : "P-384"},
            {"kty", "EC"},
            {"x", text_of(point->x)},
            {"y", text_of(point->y)}};
  }
  const auto numbers = *key.rsa_numbers();
  return {{"e", text_of(numbers.exponent)}, {"kty", "RSA"}, {"n", text_of(numbers.modulus)}};
}

base::Result<PublicKey> decode_jwk(const boost::json::object& jwk) {
  TRY_ASSIGN(type, protocol::text_member(jwk, "kty"));
  if (type == "RSA") {
    return decode_rsa(jwk);
  }
  if (type == "EC") {
    return decode_ec(jwk);
  }
  return corrupt("only RSA and elliptic-curve keys are known here");
}

std::string jwk_thumbprint(const PublicKey& key) {
  return text_of(vmgs::crypto::sha256(base::bytes_of(boost::json::serialize(encode_jwk(key)))));
}

}  // namespace keybroker::crypto
