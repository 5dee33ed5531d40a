// SPDX-License-Identifier: Apache-2.0
#include "keybroker/crypto/jws.h"

#include <boost/json/serialize.hpp>

#include "keybroker/crypto/signature.h"
#include "keybroker/protocol/strict_json.h"
#include "vmgs/crypto/base64.h"

namespace keybroker::crypto {

namespace {

using vmgs::crypto::Base64;

constexpr std::size_t kNumberBytes = 48;

auto corrupt(const std::string& why) {
  return base::fail(base::ErrorCode::kCorrupt, "JWS: " + why);
}

auto invalid(const std::string& why) {
  return base::fail(base::ErrorCode::kInvalidArgument, "JWS: " + why);
}

std::string text_of(base::ByteView bytes) {
  return vmgs::crypto::encode_base64(bytes, Base64::kUrl);
}

base::Result<base::Bytes> part(std::string_view text) {
  auto bytes = vmgs::crypto::decode_base64(text, Base64::kUrl);
  return bytes ? std::move(bytes) : corrupt("a part of it is not base64url");
}

// The parts of a token, decoded, and what its signature covers.
struct Parts {
  std::string key_id;  // empty if there is none
  std::string type;    // empty if there is none
  base::Bytes payload;
  base::Bytes signature;
  std::string_view covered;
};

base::Result<void> decode_header(base::ByteView header, Parts& parts) {
  const std::string_view text(reinterpret_cast<const char*>(header.data()), header.size());
  TRY_ASSIGN(value, protocol::parse_json(text, kMostJwsBytes));
  const auto* object = value.if_object();
  if (object == nullptr) {
    return corrupt("its header is no object");
  }
  TRY(protocol::expect_only(*object, {"alg", "kid", "typ"}));
  TRY_ASSIGN(algorithm, protocol::text_member(*object, "alg"));
  if (algorithm != "ES384") {
    return corrupt("its algorithm is not ES384");
  }
  if (object->contains("kid")) {
    TRY_ASSIGN(key_id, protocol::text_member(*object, "kid"));
    parts.key_id = std::move(key_id);
  }
  if (object->contains("typ")) {
    TRY_ASSIGN(type, protocol::text_member(*object, "typ"));
    parts.type = std::move(type);
  }
  return {};
}

base::Result<Parts> decode(std::string_view token) {
  const auto first = token.find('.');
  const auto second = first == std::string_view::npos ? first : token.find('.', first + 1);
  if (token.size() > kMostJwsBytes || second == std::string_view::npos) {
    return corrupt("a token has three parts and at most 64 KiB");
  }
  Parts parts;
  TRY_ASSIGN(header, part(token.substr(0, first)));
  TRY(decode_header(header, parts));
  TRY_ASSIGN(payload, part(token.substr(first + 1, second - first - 1)));
  // A fourth part would bring a dot with it, which is no base64url.
  TRY_ASSIGN(signature, part(token.substr(second + 1)));
  if (signature.size() != 2 * kNumberBytes) {
    return corrupt("a signature of ES384 has 96 bytes");
  }
  parts.payload = std::move(payload);
  parts.signature = std::move(signature);
  parts.covered = token.substr(0, second);
  return parts;
}

}  // namespace

base::Result<std::string> sign_jws(const PrivateKey& key, const std::string& key_id,
                                   const std::string& type, base::ByteView payload) {
  const boost::json::object header{{"alg", "ES384"}, {"kid", key_id}, {"typ", type}};
  std::string token =
      text_of(base::bytes_of(boost::json::serialize(header))) + "." + text_of(payload);
  TRY_ASSIGN(signature, sign_p384(key, base::bytes_of(token)));
  base::Bytes numbers = base::copy_of(signature.r);
  numbers.insert(numbers.end(), signature.s.begin(), signature.s.end());
  token += "." + text_of(numbers);
  if (token.size() > kMostJwsBytes) {
    return invalid("a token has at most 64 KiB");
  }
  return token;
}

base::Result<base::Bytes> verify_jws(std::string_view token, const PublicKey& key,
                                     std::string_view type) {
  if (key.curve() != Curve::kP384) {
    return invalid("ES384 is by a key of P-384, not of " + key.describe());
  }
  TRY_ASSIGN(parts, decode(token));
  if (!parts.type.empty() && parts.type != type) {
    return corrupt("it is of another type than is wanted here");
  }
  const base::ByteView signature(parts.signature);
  TRY(verify_ecdsa(key, Hash::kSha384, base::bytes_of(parts.covered),
                   {signature.first(kNumberBytes), signature.last(kNumberBytes)}));
  return std::move(parts.payload);
}

base::Result<std::string> unverified_key_id(std::string_view token) {
  TRY_ASSIGN(parts, decode(token));
  return std::move(parts.key_id);
}

}  // namespace keybroker::crypto
