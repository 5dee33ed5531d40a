// SPDX-License-Identifier: Apache-2.0
#include "keybroker/broker/attestation_request.h"

#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>

#include "keybroker/broker/attestation_token.h"
#include "keybroker/broker/challenge.h"
#include "keybroker/crypto/jwk.h"
#include "keybroker/evidence/bundle.h"
#include "keybroker/protocol/strict_json.h"
#include "keybroker/protocol/uuid.h"
#include "vmgs/crypto/base64.h"

namespace keybroker::broker {

namespace {

namespace json = boost::json;
using base::ErrorCode;
using vmgs::crypto::Base64;

auto malformed(const std::string& why) {
  return base::fail(ErrorCode::kInvalidArgument,
                    std::string(card(RefusalReason::kRequestMalformed).word) + ": " + why);
}

base::Result<base::Bytes> base64_member(const json::object& object, std::string_view name,
                                        std::size_t most_bytes) {
  const auto text = protocol::text_member(object, name);
  if (!text) {
    return malformed(text.error().message);
  }
  auto bytes = vmgs::crypto::decode_base64(*text, Base64::kUrl);
  if (!bytes || bytes->size() > most_bytes) {
    return malformed("the member '" + std::string(name) + "' is not at most " +
                     std::to_string(most_bytes) + " bytes in base64url");
  }
  return bytes;
}

base::Result<std::optional<std::string>> optional_text(const json::object& object,
                                                       std::string_view name) {
  if (!object.contains(name)) {
    return std::nullopt;
  }
  auto text = protocol::text_member(object, name);
  if (!text || text->empty() || text->size() > kMaxRuntimeTextBytes) {
    return malformed("the runtime data's '" + std::string(name) + "' is not a text of 1 to " +
                     std::to_string(kMaxRuntimeTextBytes) + " bytes");
  }
  return std::optional(*std::move(text));
}

constexpr std::size_t kMostChallengeRequestBytes = 256;

// Who sends a private key by mistake is told so, and not given a token for it.
constexpr std::string_view kPrivateMembers[] = {"d", "p", "q", "dp", "dq", "qi", "oth", "k"};

base::Result<RuntimeData> decode_key(const json::object& object) {
  const auto keys = protocol::array_member(object, "keys");
  if (!keys || (*keys)->size() != 1 || !(*keys)->front().is_object()) {
    return malformed("the runtime data's 'keys' is not a list of one JWK");
  }
  const auto& jwk = (*keys)->front().get_object();
  for (const auto name : kPrivateMembers) {
    if (jwk.contains(name)) {
      return malformed("the runtime data have the private half of a key; make a new one");
    }
  }
  auto key = crypto::decode_jwk(jwk);
  if (!key) {
    return malformed("the runtime data's key: " + key.error().message);
  }
  TRY_ASSIGN(key_id, optional_text(jwk, "kid"));
  auto name = key_id ? *std::move(key_id) : crypto::jwk_thumbprint(*key);
  return RuntimeData{.key = *std::move(key), .key_id = std::move(name)};
}

}  // namespace

base::Result<json::object> guest_object(std::string_view text, std::size_t most_bytes,
                                        std::initializer_list<std::string_view> names) {
  if (text.size() > most_bytes) {
    return base::fail(ErrorCode::kInvalidArgument,
                      std::string(card(RefusalReason::kRequestTooLarge).word) + ": it has " +
                          std::to_string(text.size()) + " bytes, at most " +
                          std::to_string(most_bytes) + " are read");
  }
  auto value = protocol::parse_json(text, most_bytes);
  if (!value) {
    return malformed(value.error().message);
  }
  if (!value->is_object()) {
    return malformed("it is no JSON object");
  }
  if (const auto only = protocol::expect_only(value->get_object(), names); !only) {
    return malformed(only.error().message);
  }
  return std::move(value->get_object());
}

base::Result<protocol::Uuid> decode_guest_challenge_request(std::string_view text) {
  TRY_ASSIGN(object, guest_object(text, kMostChallengeRequestBytes, {"vm_id"}));
  const auto vm_id = protocol::text_member(object, "vm_id");
  if (!vm_id) {
    return malformed(vm_id.error().message);
  }
  const auto parsed = protocol::parse_uuid(*vm_id);
  if (!parsed) {
    return malformed(parsed.error().message);
  }
  return *parsed;
}

base::Result<RuntimeData> decode_runtime_data(std::string_view text) {
  TRY_ASSIGN(object,
             guest_object(text, kMaxRuntimeDataBytes, {"keys", "nonce", "aud", "client-payload"}));
  TRY_ASSIGN(data, decode_key(object));
  TRY_ASSIGN(nonce, optional_text(object, "nonce"));
  TRY_ASSIGN(audience, optional_text(object, "aud"));
  data.nonce = std::move(nonce);
  data.audience = std::move(audience);
  if (object.contains("client-payload")) {
    const auto payload = protocol::object_member(object, "client-payload");
    if (!payload) {
      return malformed(payload.error().message);
    }
    data.payload = **payload;
  }
  return data;
}

base::Result<AttestationRequest> decode_attestation_request(std::string_view text) {
  TRY_ASSIGN(object,
             guest_object(text, kMaxGuestRequestBytes, {"challenge", "runtime_data", "evidence"}));
  TRY_ASSIGN(challenge, base64_member(object, "challenge", kChallengeBytes));
  TRY_ASSIGN(runtime_bytes, base64_member(object, "runtime_data", kMaxRuntimeDataBytes));
  TRY_ASSIGN(runtime, decode_runtime_data({reinterpret_cast<const char*>(runtime_bytes.data()),
                                           runtime_bytes.size()}));
  const auto bundle = protocol::object_member(object, "evidence");
  if (!bundle) {
    return malformed(bundle.error().message);
  }
  auto shown = evidence::decode_bundle(json::serialize(**bundle));
  if (!shown) {
    return malformed(shown.error().message);
  }
  if (!shown->extended_claims) {
    return malformed("the evidence has no extended claims, which say whose it is");
  }
  auto claimed = protocol::decode_extended_claims(*shown->extended_claims);
  if (!claimed) {
    return malformed("extended claims: " + claimed.error().message);
  }
  return AttestationRequest{std::move(challenge), std::move(runtime_bytes), std::move(runtime),
                            *std::move(shown), *std::move(claimed)};
}

}  // namespace keybroker::broker
