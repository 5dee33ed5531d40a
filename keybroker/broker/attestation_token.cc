// SPDX-License-Identifier: Apache-2.0
#include "keybroker/broker/attestation_token.h"

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>

#include "keybroker/broker/attestation_request.h"
#include "keybroker/broker/challenge.h"
#include "keybroker/broker/guest_evidence.h"
#include "keybroker/crypto/jwk.h"
#include "keybroker/crypto/jws.h"
#include "keybroker/evidence/verdict_json.h"
#include "keybroker/protocol/guest_attestation.h"
#include "keybroker/protocol/strict_json.h"
#include "keybroker/protocol/uuid.h"
#include "keybroker/store/single_use.h"
#include "vmgs/crypto/base64.h"
#include "vmgs/crypto/digest.h"
#include "vmgs/crypto/random.h"

namespace keybroker::broker {

namespace {

namespace json = boost::json;
using base::ErrorCode;
using vmgs::crypto::Base64;
using vmgs::crypto::encode_base64;

constexpr const char* kType = "JWT";

tl::unexpected<Failure> too_many() {
  return tl::unexpected<Failure>(base::Error{
      ErrorCode::kUnavailable, "too-many-requests: you have asked too often for this VM; wait"});
}

std::int64_t seconds_of(crypto::Time time) { return time.time_since_epoch().count(); }

// AttestationAttempt is one request on its way to a token. What it found so far goes into the log,
// however it ends.
class AttestationAttempt {
 public:
  AttestationAttempt(Worker& worker, const TokenRules& rules, std::string_view caller,
                     const AttestationRequest& request, const store::RequestId& id,
                     crypto::Time now)
      : worker_(worker), rules_(rules), request_(request), id_(id), now_(now) {
    log_["by"] = caller;
    log_["key"] = crypto::jwk_thumbprint(request.runtime.key);
  }

  Outcome<std::string> run() {
    auto challenge =
        judge_challenge(worker_.rules.secrets, request_.challenge, request_.claimed.vm_id, now_);
    if (!challenge) {
      return failed(std::move(challenge));
    }
    is_verified_ = false;
    auto record = load_registered(worker_.records, request_.claimed.vm_id);
    is_of_known_vm_ = record || !refuses(record.error(), RefusalReason::kVmUnregistered);
    if (!record) {
      return failed(std::move(record));
    }
    auto launch = judge_registration(*record, named_launch(), now_);
    if (!launch) {
      return failed(std::move(launch));
    }
    evidence::Verdict verdict;
    const auto commitment = protocol::guest_commitment(request_.challenge, request_.runtime_bytes);
    auto judged = judge_guest_evidence(request_.evidence, *launch, record->registration.root_class,
                                       commitment, worker_.rules.evidence, now_, verdict);
    if (!judged) {
      log_["checks"] = evidence::to_json(verdict.checks);
      return failed(std::move(judged));
    }
    is_verified_ = true;
    auto claims = claims_of(*record, *launch, *judged);
    log_["claims"] = claims;
    auto token_claims = with_token_names(std::move(claims), *challenge);
    auto used = store::use_once(worker_.records.sql(), request_.claimed.vm_id, challenge->nonce,
                                challenge->until, "attested", act());
    if (!used) {
      return failed(std::move(used));
    }
    if (!*used) {
      return refuse(RefusalReason::kChallengeUsed, "");
    }
    const auto& key = rules_.keys.newest();
    auto token = crypto::sign_jws(key, crypto::jwk_thumbprint(key.public_key()), kType,
                                  base::bytes_of(json::serialize(token_claims)));
    if (!token) {
      return failed(std::move(token));
    }
    return *std::move(token);
  }

  // The challenge is the broker's, and the VM is on record.
  [[nodiscard]] bool is_of_known_vm() const { return is_of_known_vm_; }

  // The caller was asked about no VM yet, or has shown evidence that is this VM's.
  [[nodiscard]] bool is_verified() const { return is_verified_; }

  [[nodiscard]] store::Act act() const { return {id_, now_, json::serialize(log_)}; }

  [[nodiscard]] store::Act act_of(const Refusal& refused) const {
    auto log = log_;
    log["why"] = refused.detail;
    return {id_, now_, json::serialize(log)};
  }

 private:
  // What the extended claims say, as a boot would say it. The evidence is checked against what is
  // registered under it, so that nothing rests on this being true.
  [[nodiscard]] protocol::ReleaseClaims named_launch() const {
    protocol::ReleaseClaims named;
    named.vm_id = request_.claimed.vm_id;
    named.boot_id = request_.claimed.boot_id;
    named.launch_digest = request_.claimed.launch;
    return named;
  }

  json::object claims_of(const store::VmRecord& record, const RegisteredLaunch& launch,
                         const evidence::Claims& judged) {
    policy::BrokerFacts facts;
    facts.vm_id = record.registration.vm_id;
    facts.tenant = record.registration.tenant;
    facts.region = record.registration.region;
    facts.launch = launch.document;
    facts.execution_policy_digest = launch.execution_policy;
    facts.freshness = freshness_now(record, launch.document.anchor_class, judged.extended->boot_id);
    facts.epoch = record.epoch;
    facts.restores = static_cast<std::uint32_t>(record.restores);
    auto claims = policy::claim_set(judged, facts).json;
    claims["strongroom-boot-id"] = base::to_hex(judged.extended->boot_id);
    // MAA's word for a guest that is known by its vTPM; the TEE's own stands inside.
    claims["x-ms-attestation-type"] = "azurevm";
    return claims;
  }

  json::object with_token_names(json::object claims, const Challenge& challenge) {
    const auto& runtime = request_.runtime;
    const auto thumbprint = crypto::jwk_thumbprint(runtime.key);
    const auto id = encode_base64(id_, Base64::kUrl);
    log_["jti"] = id;
    auto jwk = crypto::encode_jwk(runtime.key);
    jwk["kid"] = runtime.key_id;
    jwk["use"] = "enc";
    json::object said{{"keys", json::array{std::move(jwk)}}};
    if (runtime.payload) {
      said["client-payload"] = *runtime.payload;
    }
    claims["x-ms-runtime"] = std::move(said);
    claims["cnf"] = json::object{{"jkt", thumbprint}};
    claims["iss"] = rules_.issuer;
    claims["sub"] = "urn:uuid:" + protocol::uuid_text(request_.claimed.vm_id);
    claims["aud"] = runtime.audience.value_or(rules_.issuer);
    claims["iat"] = seconds_of(now_);
    claims["nbf"] = seconds_of(now_);
    claims["exp"] = seconds_of(now_ + rules_.life);
    claims["jti"] = id;
    claims["nonce"] = runtime.nonce.value_or(encode_base64(challenge.nonce, Base64::kUrl));
    return claims;
  }

  Worker& worker_;
  const TokenRules& rules_;
  const AttestationRequest& request_;
  store::RequestId id_;
  crypto::Time now_;
  json::object log_;
  bool is_of_known_vm_ = false;
  bool is_verified_ = true;
};

Outcome<json::object> not_ours(const std::string& why) {
  return refuse(RefusalReason::kTokenForged, why);
}

}  // namespace

Outcome<json::object> answer_guest_challenge(Worker& worker, std::string_view caller,
                                             std::string_view request, crypto::Time now) {
  auto vm_id = decode_guest_challenge_request(request);
  if (!vm_id) {
    return failed(std::move(vm_id));
  }
  if (!worker.limit.take(caller, *vm_id, now)) {
    return too_many();
  }
  auto challenge = make_challenge(worker.rules.secrets, *vm_id, now);
  if (!challenge) {
    return failed(std::move(challenge));
  }
  json::object answer;
  answer["challenge"] = encode_base64(*challenge, Base64::kUrl);
  answer["expires_in"] = kChallengeLife.count();
  return answer;
}

Outcome<json::object> answer_attestation(Worker& worker, const TokenRules& rules,
                                         std::string_view caller, std::string_view request,
                                         crypto::Time now) {
  const auto decoded = decode_attestation_request(request);
  if (!decoded) {
    return tl::unexpected<Failure>(decoded.error());
  }
  const auto& vm_id = decoded->claimed.vm_id;
  if (!worker.limit.take(caller, vm_id, now)) {
    return too_many();
  }
  store::RequestId id{};
  if (auto drawn = vmgs::crypto::random_bytes(id); !drawn) {
    return failed(std::move(drawn));
  }
  AttestationAttempt attempt(worker, rules, caller, *decoded, id, now);
  auto token = attempt.run();
  if (token) {
    json::object answer;
    answer["token"] = *std::move(token);
    answer["expires_in"] = rules.life.count();
    return answer;
  }
  auto* refused = std::get_if<Refusal>(&token.error());
  if (refused == nullptr) {
    return failed(std::move(token));
  }
  refused->before_evidence = !attempt.is_verified();
  const bool has_line = !attempt.is_of_known_vm() ? worker.limit.take_for_strangers(caller, now)
                        : attempt.is_verified()   ? true
                                                  : worker.limit.take_for_guests(vm_id, now);
  if (has_line) {
    if (auto noted = worker.records.refuse(vm_id, refused->word, attempt.act_of(*refused));
        !noted) {
      return failed(std::move(noted));
    }
  }
  return failed(std::move(token));
}

Outcome<json::object> open_token(const TokenRules& rules, std::string_view token,
                                 crypto::Time now) {
  const auto key_id = crypto::unverified_key_id(token);
  if (!key_id) {
    return not_ours(key_id.error().message);
  }
  const auto* key = rules.keys.find(*key_id);
  if (key == nullptr) {
    return not_ours("It names a key that is not of this broker");
  }
  const auto payload = crypto::verify_jws(token, *key, kType);
  if (!payload) {
    return not_ours(payload.error().message);
  }
  const auto parsed = protocol::parse_json(
      {reinterpret_cast<const char*>(payload->data()), payload->size()}, crypto::kMostJwsBytes);
  if (!parsed || !parsed->is_object()) {
    return not_ours("It is no JWT");
  }
  const auto& claims = parsed->get_object();
  constexpr auto kLatest =
      static_cast<std::uint64_t>(crypto::Time::max().time_since_epoch().count());
  const auto issuer = protocol::text_member(claims, "iss");
  const auto audience = protocol::text_member(claims, "aud");
  const auto from = protocol::number_member(claims, "nbf", kLatest);
  const auto until = protocol::number_member(claims, "exp", kLatest);
  if (!issuer || !audience || !from || !until || *issuer != rules.issuer) {
    return not_ours("It lacks a claim that our tokens have, or has another issuer");
  }
  if (*audience != rules.issuer) {
    return refuse(RefusalReason::kTokenOtherAudience, "It is for " + *audience);
  }
  const auto at = static_cast<std::uint64_t>(seconds_of(now));
  if (at < *from || at >= *until) {
    return refuse(RefusalReason::kTokenExpired, "");
  }
  return claims;
}

json::object openid_configuration(const TokenRules& rules) {
  return {{"issuer", rules.issuer},
          {"jwks_uri", rules.issuer + "/certs"},
          {"response_types_supported", json::array{"token"}},
          {"subject_types_supported", json::array{"public"}},
          {"id_token_signing_alg_values_supported", json::array{"ES384"}},
          {"claims_supported", json::array{"iss",
                                           "sub",
                                           "aud",
                                           "iat",
                                           "nbf",
                                           "exp",
                                           "jti",
                                           "nonce",
                                           "cnf",
                                           "x-ms-ver",
                                           "x-ms-attestation-type",
                                           "x-ms-runtime",
                                           "x-ms-isolation-tee",
                                           "strongroom-vm-id",
                                           "strongroom-tenant",
                                           "strongroom-root-class",
                                           "strongroom-tee",
                                           "strongroom-debug",
                                           "strongroom-measurement",
                                           "strongroom-launch-digest",
                                           "strongroom-freshness",
                                           "strongroom-epoch",
                                           "strongroom-boot-id"}}};
}

}  // namespace keybroker::broker
