// SPDX-License-Identifier: Apache-2.0
#include "keybroker/broker/release_key.h"

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

#include "keybroker/broker/answer.h"
#include "keybroker/broker/owner_policies.h"
#include "keybroker/broker/registered_launch.h"
#include "keybroker/broker/release_request.h"
#include "keybroker/evidence/verdict_json.h"
#include "keybroker/policy/claim_set.h"
#include "keybroker/protocol/uuid.h"
#include "vmgs/base/log.h"
#include "vmgs/crypto/digest.h"

namespace keybroker::broker {

namespace {

namespace pb = strongroom::broker::v1;
using base::ErrorCode;

// How often a claim is judged anew because another one came in between.
constexpr int kAttempts = 4;

auto too_many() {
  return base::fail(ErrorCode::kUnavailable,
                    "too-many-requests: this host has asked too often for this VM; wait");
}

// ReleaseAttempt is one request on its way to an answer. What it found so far goes into the log,
// however it ends.
class ReleaseAttempt {
 public:
  ReleaseAttempt(Worker& worker, std::string_view caller, base::ByteView bytes,
                 const ReleaseRequest& request, crypto::Time now)
      : worker_(worker), bytes_(bytes), request_(request), now_(now) {
    log_["by"] = caller;
    log_["evidence_sha256"] = base::to_hex(vmgs::crypto::sha256(request.report));
  }

  Outcome<pb::Answer> run() {
    auto admitted = admit(request_, worker_.rules.secrets, now_);
    if (!admitted) {
      return failed(std::move(admitted));
    }
    for (int i = 0; i < kAttempts; ++i) {
      auto claimed = judge_and_claim(*admitted);
      if (!claimed) {
        return failed(std::move(claimed));
      }
      if (*claimed) {
        return release(*admitted, **claimed);
      }
    }
    return tl::unexpected<Failure>(
        base::Error{ErrorCode::kUnavailable, "claim-raced: others claim this VM at the same time"});
  }

  // The challenge is the broker's, and the VM is on record.
  [[nodiscard]] bool is_of_known_vm() const { return is_of_known_vm_; }

  [[nodiscard]] store::Act act() const {
    return {request_.request_id, now_, boost::json::serialize(log_)};
  }

  [[nodiscard]] store::Act act_of(const Refusal& refused) const {
    auto log = log_;
    log["why"] = refused.detail;
    return {request_.request_id, now_, boost::json::serialize(log)};
  }

 private:
  // All that is judged, then the claim; nothing if another claim came in between.
  Outcome<std::optional<store::Claimed>> judge_and_claim(const AdmittedRequest& admitted) {
    auto record = load_registered(worker_.records, request_.claims.vm_id);
    is_of_known_vm_ = record || !refuses(record.error(), RefusalReason::kVmUnregistered);
    if (!record) {
      return failed(std::move(record));
    }
    auto launch = judge_registration(*record, request_.claims, now_);
    if (!launch) {
      return failed(std::move(launch));
    }
    evidence::Verdict verdict;
    auto claims = judge_release_evidence(
        request_.report, request_.certificate_table,
        {launch->family, record->registration.root_class, launch->digest, request_.claims_bytes},
        worker_.rules.evidence, now_, verdict);
    if (!claims) {
      log_["checks"] = evidence::to_json(verdict.checks);
      return failed(std::move(claims));
    }
    if (auto allowed = judge_policies(*record, *launch, *claims); !allowed) {
      return failed(std::move(allowed));
    }
    if (auto forward = follow_receipt(*record); !forward) {
      return failed(std::move(forward));
    }
    auto key = worker_.records.newest_vm_key(request_.claims.vm_id);
    if (!key) {
      return failed(std::move(key));
    }
    key_ = *std::move(key);
    auto kek = worker_.records.kek(record->registration.tenant, key_.kek_version);
    if (!kek) {
      return failed(std::move(kek));
    }
    kek_ = *std::move(kek);
    return claim(*record, admitted);
  }

  Outcome<std::monostate> judge_policies(const store::VmRecord& record,
                                         const RegisteredLaunch& launch,
                                         const evidence::Claims& claims) {
    auto policies = load_owned_policies(worker_.records, record.registration.policies);
    if (!policies) {
      return failed(std::move(policies));
    }
    policy::BrokerFacts facts;
    facts.vm_id = request_.claims.vm_id;
    facts.tenant = record.registration.tenant;
    facts.region = record.registration.region;
    facts.launch = launch.document;
    facts.execution_policy_digest = launch.execution_policy;
    facts.freshness = launch.document.anchor_class == protocol::AnchorClass::kNone
                          ? policy::Freshness::kUnanchored
                          : policy::Freshness::kFresh;
    facts.epoch = record.epoch;
    facts.restores = static_cast<std::uint32_t>(record.restores);
    const auto claim_set = policy::claim_set(claims, facts);
    // With these a policy can be tried later on what was seen now.
    log_["claims"] = claim_set.json;
    const auto decision =
        policy::evaluate_all(*policies, claim_set, worker_.rules.policy_authorities);
    boost::json::array traces;
    policy_digests_.clear();
    for (const auto& each : decision.owners) {
      boost::json::object trace = policy::to_json(each.decision);
      trace["owner"] = each.owner;
      traces.push_back(std::move(trace));
      policy_digests_.push_back(each.decision.policy_digest);
    }
    log_["policies"] = std::move(traces);
    if (!decision.allowed) {
      return refuse(RefusalReason::kPolicyDenied, decision.why());
    }
    return {};
  }

  // In recovery a receipt that is newer than the record moves it forward.
  Outcome<std::monostate> follow_receipt(store::VmRecord& record) {
    const auto& until = worker_.rules.recovery_until;
    if (request_.receipt.empty() || !until || now_ >= *until) {
      return {};
    }
    const auto receipt = open_receipt(request_.receipt, worker_.rules.receipt_roots);
    if (!receipt && !names_root(request_.receipt, worker_.rules.receipt_roots)) {
      // One of a root that was left behind is no forgery, and tells this broker nothing.
      base::log(base::LogLevel::kWarning,
                "a receipt of VM " + protocol::uuid_text(request_.claims.vm_id) +
                    " moves nothing: it is under none of this broker's roots. An earlier one " +
                    "belongs into [broker] earlier_roots");
      return {};
    }
    if (!receipt) {
      return refuse(RefusalReason::kReceiptForged, receipt.error().message);
    }
    if (!std::ranges::equal(base::bytes_of(receipt->vm_id()), request_.claims.vm_id)) {
      return refuse(RefusalReason::kReceiptOtherVm, "");
    }
    store::Anchor anchor;
    anchor.epoch = receipt->anchor().epoch();
    anchor.state.sequence = receipt->anchor().sequence();
    std::ranges::copy(base::bytes_of(receipt->anchor().digest()), anchor.state.digest.begin());
    // An act of its own: the request id is the claim's.
    auto its_act = act();
    const auto id = vmgs::crypto::sha256({base::bytes_of("receipt"), request_.request_id});
    std::copy_n(id.begin(), its_act.request_id.size(), its_act.request_id.begin());
    auto moved =
        worker_.records.accept_receipt(request_.claims.vm_id, anchor, receipt->restores(), its_act);
    if (!moved) {
      return failed(std::move(moved));
    }
    if (*moved) {
      auto again = load_registered(worker_.records, request_.claims.vm_id);
      if (!again) {
        return failed(std::move(again));
      }
      record = *std::move(again);
    }
    return {};
  }

  Outcome<std::optional<store::Claimed>> claim(const store::VmRecord& record,
                                               const AdmittedRequest& admitted) {
    store::ClaimRequest wanted;
    wanted.vm_id = request_.claims.vm_id;
    wanted.boot_id = request_.claims.boot_id;
    wanted.epoch_seen = record.epoch;
    wanted.conf_version = record.conf_version;
    wanted.request_digest = vmgs::crypto::sha256(bytes_);
    wanted.nonce = admitted.challenge.nonce;
    wanted.nonce_expiry = admitted.challenge.until;
    // The records find by the request id what became of a claim whose commit was not answered.
    auto outcome = worker_.records.claim(wanted, act());
    if (!outcome) {
      return of_records(std::move(outcome).error());
    }
    if (auto* claimed = std::get_if<store::Claimed>(&*outcome)) {
      return std::optional(std::move(*claimed));
    }
    switch (std::get<store::ClaimRefusal>(*outcome)) {
      case store::ClaimRefusal::kRaced:
        return std::optional<store::Claimed>();
      case store::ClaimRefusal::kUnknownVm:
        return refuse(RefusalReason::kVmUnregistered, "");
      case store::ClaimRefusal::kReplayedNonce:
        return refuse(RefusalReason::kChallengeUsed, "");
      case store::ClaimRefusal::kDisabled:
        return refuse(RefusalReason::kVmDisabled, "");
      case store::ClaimRefusal::kLeaseRunning:
        return refuse(RefusalReason::kLeaseRunning, "");
      case store::ClaimRefusal::kOtherRequest:
        return refuse(RefusalReason::kRequestIdUsed, "");
    }
    return std::optional<store::Claimed>();
  }

  // The claim is durable and in the log: from here on only trouble of the broker's own is left, and
  // the same request, sent again, comes back here.
  Outcome<pb::Answer> release(const AdmittedRequest& admitted, const store::Claimed& claimed) {
    const auto& vm_id = request_.claims.vm_id;
    auto vm_key = unwrap_vm_key(worker_, vm_id, key_, kek_);
    if (!vm_key) {
      return failed(std::move(vm_key));
    }
    auto own_key =
        boot_key(worker_.rules.secrets.making(), vm_id, claimed.epoch, request_.claims.boot_id);
    if (!own_key) {
      return failed(std::move(own_key));
    }
    auto both = base::Secret<64>::zero();
    std::ranges::copy(own_key->expose(),
                      std::ranges::copy(vm_key->expose(), both.fill().begin()).out);
    auto sealed = crypto::seal_to(admitted.transfer_key, admitted.algorithm,
                                  vmgs::crypto::sha384(request_.claims_bytes), both.expose());
    if (!sealed) {
      return failed(std::move(sealed));
    }
    pb::Answer answer;
    answer.set_vm_id(field_of(vm_id));
    answer.set_issued_at(static_cast<std::uint64_t>(now_.time_since_epoch().count()));
    auto& released = *answer.mutable_released();
    released.set_epoch(claimed.epoch);
    if (claimed.anchor) {
      auto& anchor = *released.mutable_anchor();
      anchor.set_epoch(claimed.anchor->epoch);
      anchor.set_sequence(claimed.anchor->state.sequence);
      anchor.set_digest(field_of(claimed.anchor->state.digest));
    }
    if (claimed.restore) {
      auto& allowed = *released.mutable_allowed_restore();
      allowed.set_sequence(claimed.restore->sequence);
      allowed.set_digest(field_of(claimed.restore->digest));
    }
    released.set_restores(claimed.restores);
    released.set_key_version(static_cast<std::uint32_t>(key_.version));
    released.set_sealed_keys(field_of(*sealed));
    for (const auto& digest : policy_digests_) {
      released.add_policy_digests(field_of(digest));
    }
    return answer;
  }

  Worker& worker_;
  base::ByteView bytes_;
  const ReleaseRequest& request_;
  crypto::Time now_;
  boost::json::object log_;
  bool is_of_known_vm_ = false;
  store::VmKey key_{};
  store::Kek kek_{};
  std::vector<protocol::Sha256Digest> policy_digests_;
};

}  // namespace

base::Result<base::Bytes> answer_challenge(Worker& worker, std::string_view caller,
                                           base::ByteView request, crypto::Time now) {
  pb::ChallengeRequest message;
  protocol::Uuid vm_id{};
  if (request.size() > kMaxChallengeRequestBytes ||
      !message.ParseFromArray(request.data(), static_cast<int>(request.size())) ||
      message.vm_id().size() != vm_id.size()) {
    return base::fail(ErrorCode::kInvalidArgument,
                      std::string(card(RefusalReason::kRequestMalformed).word) +
                          ": it is no ChallengeRequest for a VM");
  }
  std::ranges::copy(base::bytes_of(message.vm_id()), vm_id.begin());
  if (!worker.limit.take(caller, vm_id, now)) {
    return too_many();
  }
  TRY_ASSIGN(challenge, make_challenge(worker.rules.secrets, vm_id, now));
  pb::ChallengeResponse response;
  response.set_challenge(field_of(challenge));
  response.set_expires_in(static_cast<std::uint32_t>(kChallengeLife.count()));
  return base::copy_of(base::bytes_of(response.SerializeAsString()));
}

base::Result<base::Bytes> answer_release(Worker& worker, std::string_view caller,
                                         base::ByteView request, crypto::Time now) {
  TRY_ASSIGN(decoded, decode_release_request(request));
  const auto& vm_id = decoded.claims.vm_id;
  if (!worker.limit.take(caller, vm_id, now)) {
    return too_many();
  }
  ReleaseAttempt attempt(worker, caller, request, decoded, now);
  const auto answer = attempt.run();
  if (answer) {
    return sign_answer(worker.rules.signer, request, *answer);
  }
  if (const auto* error = std::get_if<base::Error>(&answer.error())) {
    return base::fail(*error);
  }
  const auto& refused = std::get<Refusal>(answer.error());
  if (attempt.is_of_known_vm() || worker.limit.take_for_strangers(caller, now)) {
    TRY(worker.records.refuse(vm_id, refused.word, attempt.act_of(refused)));
  }
  return sign_refusal(worker.rules.signer, request, vm_id, refused, now);
}

}  // namespace keybroker::broker
