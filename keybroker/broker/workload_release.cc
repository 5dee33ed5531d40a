// SPDX-License-Identifier: Apache-2.0
#include "keybroker/broker/workload_release.h"

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>
#include <charconv>

#include "keybroker/broker/attestation_request.h"
#include "keybroker/broker/guest_evidence.h"
#include "keybroker/broker/owner_policies.h"
#include "keybroker/broker/registered_launch.h"
#include "keybroker/broker/workload_keys.h"
#include "keybroker/crypto/jwk.h"
#include "keybroker/crypto/jws.h"
#include "keybroker/crypto/key_transfer.h"
#include "keybroker/crypto/rsa_aes_wrap.h"
#include "keybroker/policy/decision.h"
#include "keybroker/protocol/guest_attestation.h"
#include "keybroker/protocol/strict_json.h"
#include "keybroker/protocol/uuid.h"
#include "keybroker/store/single_use.h"
#include "vmgs/base/log.h"
#include "vmgs/crypto/base64.h"
#include "vmgs/crypto/digest.h"
#include "vmgs/crypto/random.h"

namespace keybroker::broker {

namespace {

namespace json = boost::json;
using base::ErrorCode;
using vmgs::crypto::Base64;
using vmgs::crypto::encode_base64;

constexpr std::string_view kUseLabel{"strongroom.key-release/1\0", 25};
constexpr std::string_view kReleaseEnd = "/release";
constexpr std::string_view kRsa384 = "RSA_AES_KEY_WRAP_384";
constexpr std::string_view kRsa256 = "RSA_AES_KEY_WRAP_256";
constexpr std::string_view kEcdh = "STRONGROOM_ECDH_P384";
constexpr std::size_t kLeastRsaBits = 3072;
constexpr std::size_t kMostRequestBytes = crypto::kMostJwsBytes + 4096;

std::string text_of(const json::object& object, std::string_view member) {
  const auto text = protocol::text_member(object, member);
  return text ? *text : std::string();
}

std::string encoded(const json::object& object) {
  return encode_base64(base::bytes_of(json::serialize(object)), Base64::kUrl);
}

// WorkloadRelease is one request on its way to a key, under a token that was opened.
class WorkloadRelease {
 public:
  WorkloadRelease(Worker& worker, const TokenRules& rules, std::string_view caller,
                  const WorkloadKeyPath& path, const json::object& request,
                  const json::object& token, const store::RequestId& id, crypto::Time now)
      : worker_(worker),
        rules_(rules),
        path_(path),
        request_(request),
        token_(token),
        id_(id),
        now_(now) {
    log_["by"] = caller;
    log_["jti"] = text_of(token, "jti");
    log_["workload_key"] = path.name;
  }

  Outcome<std::string> run(const protocol::Uuid& vm_id) {
    auto record = load_owner(vm_id);
    if (!record) {
      return failed(std::move(record));
    }
    auto key = store::workload_key(worker_.records, record->registration.tenant, path_.name,
                                   path_.version);
    if (!key) {
      return not_loaded(std::move(key).error());
    }
    log_["version"] = key->version;
    auto policy = load_policy(worker_.records, key->policy);
    if (!policy) {
      return failed(std::move(policy));
    }
    if (auto allowed = judge(*policy, record->registration.tenant); !allowed) {
      return failed(std::move(allowed));
    }
    auto transfer_key = choose_wrap();
    if (!transfer_key) {
      return failed(std::move(transfer_key));
    }
    if (auto used = use_token(vm_id, *key); !used) {
      return failed(std::move(used));
    }
    auto value = wrapped_and_signed(*key, *policy, *transfer_key);
    if (!value) {
      return failed(std::move(value));
    }
    return *std::move(value);
  }

  [[nodiscard]] store::Act act() const { return {id_, now_, json::serialize(log_)}; }

  [[nodiscard]] store::Act act_of(const Refusal& refused) const {
    auto log = log_;
    log["why"] = refused.detail;
    return {id_, now_, json::serialize(log)};
  }

 private:
  static tl::unexpected<Failure> not_loaded(base::Error error) {
    switch (error.code) {
      case ErrorCode::kNotFound:
        return refuse(RefusalReason::kKeyUnknown, "");
      case ErrorCode::kAuthentication:
        base::log(base::LogLevel::kError, error.message);
        return refuse(RefusalReason::kRecordsAltered, "");
      default:
        return tl::unexpected<Failure>(std::move(error));
    }
  }

  // The VM's record, if the boot that attested owns it still.
  Outcome<store::VmRecord> load_owner(const protocol::Uuid& vm_id) {
    auto record = load_registered(worker_.records, vm_id);
    if (!record) {
      return failed(std::move(record));
    }
    if (text_of(token_, "strongroom-tenant") != protocol::uuid_text(record->registration.tenant)) {
      return refuse(RefusalReason::kRecordsAltered, "The token names another tenant of the VM");
    }
    if (record->status == store::VmStatus::kDeleted) {
      return refuse(RefusalReason::kVmDeleted, "");
    }
    if (record->status == store::VmStatus::kDisabled) {
      return refuse(RefusalReason::kVmDisabled, "");
    }
    const auto said = text_of(token_, "strongroom-freshness");
    const auto boot = base::from_hex(text_of(token_, "strongroom-boot-id"));
    protocol::BootId boot_id{};
    if (!boot || boot->size() != boot_id.size()) {
      return refuse(RefusalReason::kTokenForged, "It names no boot");
    }
    std::ranges::copy(*boot, boot_id.begin());
    const auto fresh = policy::Freshness::kFresh;
    // What the token says was true of its launch's anchor class when it was made.
    const auto now = freshness_now(*record, protocol::AnchorClass::kBoot, boot_id);
    if (said != name(fresh) || now != fresh) {
      return refuse(RefusalReason::kStateNotFresh,
                    "The token says " + said + ", the records say " + std::string(name(now)));
    }
    return *std::move(record);
  }

  Outcome<std::monostate> judge(const policy::ReleasePolicy& policy, const protocol::Uuid& tenant) {
    auto authorities = worker_.rules.policy_authorities;
    authorities.insert(rules_.issuer);
    const auto decision = policy::evaluate(policy, {token_}, authorities);
    auto trace = policy::to_json(decision);
    trace["owner"] = protocol::uuid_text(tenant);
    log_["policies"] = json::array{std::move(trace)};
    if (!decision.allowed) {
      return refuse(RefusalReason::kPolicyDenied, decision.why());
    }
    return {};
  }

  // The key that the evidence committed to, and the wrap for it.
  Outcome<crypto::PublicKey> choose_wrap() {
    const auto* runtime = token_.if_contains("x-ms-runtime");
    const auto* confirmed = token_.if_contains("cnf");
    const auto* keys = runtime != nullptr && runtime->is_object()
                           ? runtime->get_object().if_contains("keys")
                           : nullptr;
    if (keys == nullptr || !keys->is_array() || keys->get_array().size() != 1 ||
        !keys->get_array().front().is_object() || confirmed == nullptr || !confirmed->is_object()) {
      return refuse(RefusalReason::kTokenForged, "It has not one key");
    }
    const auto& jwk = keys->get_array().front().get_object();
    auto key = crypto::decode_jwk(jwk);
    if (!key || text_of(confirmed->get_object(), "jkt") != crypto::jwk_thumbprint(*key)) {
      return refuse(RefusalReason::kTokenForged, "Its key is not the one that it is bound to");
    }
    transfer_key_id_ = text_of(jwk, "kid");
    const bool p384 = key->curve() == crypto::Curve::kP384;
    enc_ =
        request_.contains("enc") ? text_of(request_, "enc") : std::string(p384 ? kEcdh : kRsa384);
    const bool fits = p384 ? enc_ == kEcdh
                           : key->is_rsa() && key->bits() >= kLeastRsaBits &&
                                 (enc_ == kRsa384 || enc_ == kRsa256);
    if (!fits) {
      return refuse(RefusalReason::kTransferKeyUnusable,
                    "The token's key is " + key->describe() + " and enc is " + enc_ +
                        "; expected RSA of 3072 bits or more with " + std::string(kRsa384) +
                        " or " + std::string(kRsa256) + ", or ECDSA P-384 with " +
                        std::string(kEcdh));
    }
    return *std::move(key);
  }

  Outcome<std::monostate> use_token(const protocol::Uuid& vm_id, const store::WorkloadKey& key) {
    const auto use = vmgs::crypto::sha256({base::bytes_of(kUseLabel), base::bytes_of(kid_of(key)),
                                           base::bytes_of(std::string_view("\0", 1)),
                                           base::bytes_of(text_of(token_, "jti"))});
    store::Nonce nonce{};
    std::ranges::copy(use, nonce.begin());
    auto used = store::use_once(worker_.records.sql(), vm_id, nonce, now_ + rules_.life,
                                "key-released", act());
    if (!used) {
      return failed(std::move(used));
    }
    if (!*used) {
      return refuse(RefusalReason::kTokenUsed, "");
    }
    return {};
  }

  base::Result<std::string> wrapped_and_signed(const store::WorkloadKey& key,
                                               const policy::ReleasePolicy& policy,
                                               const crypto::PublicKey& transfer_key) {
    TRY_ASSIGN(material, open_workload_key(worker_, key));
    const auto kid = kid_of(key);
    const auto hash = enc_ == kRsa256 ? crypto::Hash::kSha256 : crypto::Hash::kSha384;
    TRY_ASSIGN(ciphertext, enc_ == kEcdh
                               ? crypto::seal_to(transfer_key, crypto::TransferAlgorithm::kEcdhP384,
                                                 protocol::workload_info(kid), material.expose())
                               : crypto::wrap_rsa_aes(transfer_key, hash, material.expose()));
    const json::object key_hsm{
        {"schema_version", "1.0"},
        {"header", {{"kid", transfer_key_id_}, {"alg", "dir"}, {"enc", enc_}}},
        {"ciphertext", encode_base64(ciphertext, Base64::kUrl)}};
    json::object asked{{"api-version", "7.4"}, {"enc", enc_}, {"kid", kid}};
    if (request_.contains("nonce")) {
      asked["nonce"] = text_of(request_, "nonce");
    }
    const json::object payload{
        {"request", std::move(asked)},
        {"response",
         {{"key",
           {{"attributes",
             {{"enabled", true},
              {"exportable", true},
              {"created", key.created.time_since_epoch().count()}}},
            {"key",
             {{"kid", kid}, {"kty", std::string(name(key.kind))}, {"key_hsm", encoded(key_hsm)}}},
            {"release_policy",
             {{"contentType", "application/json; charset=utf-8"},
              {"data", encode_base64(base::bytes_of(policy::canonical_form(policy)), Base64::kUrl)},
              {"immutable", key.immutable}}}}}}}};
    const auto& signer = rules_.keys.newest();
    return crypto::sign_jws(signer, crypto::jwk_thumbprint(signer.public_key()),
                            std::string(protocol::kKeyReleaseType),
                            base::bytes_of(json::serialize(payload)));
  }

  [[nodiscard]] std::string kid_of(const store::WorkloadKey& key) const {
    return rules_.issuer + "/keys/" + key.name + "/" + std::to_string(key.version);
  }

  Worker& worker_;
  const TokenRules& rules_;
  const WorkloadKeyPath& path_;
  const json::object& request_;
  const json::object& token_;
  store::RequestId id_;
  crypto::Time now_;
  json::object log_;
  std::string transfer_key_id_;
  std::string enc_;
};

}  // namespace

std::optional<WorkloadKeyPath> parse_workload_key_path(std::string_view path) {
  if (!path.ends_with(kReleaseEnd)) {
    return std::nullopt;
  }
  path.remove_suffix(kReleaseEnd.size());
  const auto slash = path.find('/');
  WorkloadKeyPath parsed{std::string(path.substr(0, slash))};
  if (!store::is_workload_key_name(parsed.name)) {
    return std::nullopt;
  }
  if (slash != std::string_view::npos) {
    const auto digits = path.substr(slash + 1);
    std::uint64_t version = 0;
    const auto read = std::from_chars(digits.data(), digits.data() + digits.size(), version);
    if (read.ec != std::errc() || read.ptr != digits.data() + digits.size() || version == 0) {
      return std::nullopt;
    }
    parsed.version = version;
  }
  return parsed;
}

Outcome<json::object> answer_key_release(Worker& worker, const TokenRules& rules,
                                         std::string_view caller, const WorkloadKeyPath& path,
                                         std::string_view request, crypto::Time now) {
  const auto asked = guest_object(request, kMostRequestBytes, {"target", "nonce", "enc"});
  if (!asked) {
    return tl::unexpected<Failure>(asked.error());
  }
  for (const auto& [member, value] : *asked) {
    if (!value.is_string() ||
        (member != "target" && value.get_string().size() > kMaxRuntimeTextBytes)) {
      return tl::unexpected<Failure>(base::Error{
          ErrorCode::kInvalidArgument, std::string(card(RefusalReason::kRequestMalformed).word) +
                                           ": '" + std::string(member) +
                                           "' is no text, or too long"});
    }
  }
  const auto token = open_token(rules, text_of(*asked, "target"), now);
  if (!token) {
    return tl::unexpected<Failure>(token.error());
  }
  const auto vm_id = protocol::parse_uuid(text_of(*token, "strongroom-vm-id"));
  if (!vm_id) {
    return refuse(RefusalReason::kTokenForged, "It names no VM");
  }
  if (!worker.limit.take(caller, *vm_id, now)) {
    return tl::unexpected<Failure>(base::Error{
        ErrorCode::kUnavailable, "too-many-requests: you have asked too often for this VM; wait"});
  }
  store::RequestId id{};
  if (auto drawn = vmgs::crypto::random_bytes(id); !drawn) {
    return failed(std::move(drawn));
  }
  WorkloadRelease release(worker, rules, caller, path, *asked, *token, id, now);
  auto value = release.run(*vm_id);
  if (value) {
    json::object answer;
    answer["value"] = *std::move(value);
    return answer;
  }
  if (const auto* refused = std::get_if<Refusal>(&value.error())) {
    if (auto noted = worker.records.refuse(*vm_id, refused->word, release.act_of(*refused));
        !noted) {
      return failed(std::move(noted));
    }
  }
  return failed(std::move(value));
}

}  // namespace keybroker::broker
