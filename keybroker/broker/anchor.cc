// SPDX-License-Identifier: Apache-2.0
#include "keybroker/broker/anchor.h"

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

#include "keybroker/broker/anchor_request.h"
#include "keybroker/broker/answer.h"
#include "keybroker/broker/registered_launch.h"
#include "keybroker/protocol/extended_claims.h"
#include "keybroker/protocol/uuid.h"
#include "vmgs/crypto/digest.h"

namespace keybroker::broker {

namespace {

namespace pb = strongroom::broker::v1;
namespace instance = strongroom::instance::v1;
using base::ErrorCode;

std::uint64_t seconds_of(crypto::Time time) {
  return static_cast<std::uint64_t>(time.time_since_epoch().count());
}

// What an instance says of its own TPM. Only the holder of the boot key can have said it, and no
// certificate rests on it.
std::optional<protocol::ExtendedClaims> own_claims(const AnchorMessage& message) {
  if (!message.certification) {
    return std::nullopt;
  }
  auto claims = protocol::decode_extended_claims(message.certification->extended_claims());
  return claims ? std::optional(*std::move(claims)) : std::nullopt;
}

class AnchorAttempt {
 public:
  AnchorAttempt(Worker& worker, const Certifiers& certifiers, std::string_view caller,
                base::ByteView bytes, const AnchorMessage& message, crypto::Time now)
      : worker_(worker),
        certifiers_(certifiers),
        bytes_(bytes),
        message_(message),
        now_(now),
        claims_(own_claims(message)) {
    log_["by"] = caller;
  }

  // The bytes of the answer: kept ones for a request that was answered before.
  Outcome<base::Bytes> run() {
    if (auto authentic = judge_mac(message_, worker_.rules.secrets); !authentic) {
      return failed(std::move(authentic));
    }
    is_authentic_ = true;
    switch (message_.step) {
      case AnchorStep::kRenewal:
        return renew();
      case AnchorStep::kCondemned:
        return condemn();
      case AnchorStep::kBoot:
      case AnchorStep::kClosed:
        break;
    }
    return anchor();
  }

  [[nodiscard]] bool is_authentic() const { return is_authentic_; }

  [[nodiscard]] store::Act act_of(const Refusal& refused) const {
    auto log = log_;
    log["why"] = refused.detail;
    return {message_.request_id, now_, boost::json::serialize(log)};
  }

 private:
  Outcome<base::Bytes> anchor() {
    store::AnchorRequest wanted;
    wanted.vm_id = message_.vm_id;
    wanted.boot_id = message_.boot_id;
    wanted.epoch = message_.epoch;
    wanted.state = message_.state;
    wanted.kind =
        message_.step == AnchorStep::kBoot ? store::AnchorKind::kBoot : store::AnchorKind::kClose;
    wanted.used_restore = message_.used_restore;
    wanted.request_digest = vmgs::crypto::sha256(bytes_);
    if (claims_) {
      wanted.ek_name = claims_->ek_name;
      wanted.ak_name = claims_->ak_name;
    }
    auto outcome =
        worker_.records.anchor(wanted, {message_.request_id, now_, boost::json::serialize(log_)});
    if (!outcome) {
      return of_records(std::move(outcome).error());
    }
    if (const auto* no = std::get_if<store::AnchorRefusal>(&*outcome)) {
      return refuse_anchor(*no);
    }
    auto& anchored = std::get<store::Anchored>(*outcome);
    if (!anchored.answer.empty()) {
      return std::move(anchored.answer);
    }
    auto record = anchored.record ? Outcome<store::VmRecord>(*std::move(anchored.record))
                                  : load_registered(worker_.records, message_.vm_id);
    if (!record) {
      return failed(std::move(record));
    }
    if (auto ended = end_conversion(*record); !ended) {
      return failed(std::move(ended));
    }
    auto receipt = receipt_for(anchored.restores);
    if (!receipt) {
      return failed(std::move(receipt));
    }
    auto answer = answer_with(*receipt, *record);
    if (!answer) {
      return answer;
    }
    if (auto kept = worker_.records.keep_answer(message_.vm_id, message_.request_id, *answer);
        !kept) {
      return failed(std::move(kept));
    }
    return answer;
  }

  // The record, if this boot is the owner of the newest epoch.
  Outcome<store::VmRecord> record_of_owner() {
    auto record = load_registered(worker_.records, message_.vm_id);
    if (!record) {
      return failed(std::move(record));
    }
    const bool served = record->status == store::VmStatus::kActive ||
                        record->status == store::VmStatus::kConverting;
    if (!served || record->epoch != message_.epoch || record->owner != message_.boot_id) {
      return refuse_anchor(store::AnchorRefusal::kFenced);
    }
    return *std::move(record);
  }

  // No anchor moves, but only the owner of the newest epoch may ask.
  Outcome<base::Bytes> renew() {
    auto record = record_of_owner();
    return record ? answer_with({}, *record) : Outcome<base::Bytes>(failed(std::move(record)));
  }

  // What was certified may have been used on a state that is not the VM's newest. Once it is on
  // record, it is carried out as often as it is told.
  Outcome<base::Bytes> condemn() {
    auto record = record_of_owner();
    if (!record) {
      return failed(std::move(record));
    }
    const bool is_older =
        record->anchor && message_.state.sequence < record->anchor->state.sequence;
    log_["sequence"] = message_.state.sequence;
    const auto refused =
        refusal(is_older ? RefusalReason::kStaleState : RefusalReason::kForkedState,
                "Its commit sequence is " + std::to_string(message_.state.sequence));
    if (auto noted = worker_.records.refuse(message_.vm_id, refused.word, act_of(refused));
        !noted) {
      return failed(std::move(noted));
    }
    for (auto* certifier : {certifiers_.production, certifiers_.simulated}) {
      if (certifier == nullptr) {
        continue;
      }
      if (auto revoked = certifier->revoke(message_.vm_id, now_); !revoked) {
        return failed(std::move(revoked));
      }
    }
    return answer_with({}, *record);
  }

  [[nodiscard]] tl::unexpected<Failure> refuse_anchor(store::AnchorRefusal why) const {
    switch (why) {
      case store::AnchorRefusal::kUnknownVm:
        return refuse(RefusalReason::kVmUnregistered, "");
      case store::AnchorRefusal::kFenced:
        return refuse(RefusalReason::kAnchorFenced,
                      "It was released in epoch " + std::to_string(message_.epoch));
      case store::AnchorRefusal::kStale:
        return refuse(RefusalReason::kAnchorStale,
                      "Its commit sequence is " + std::to_string(message_.state.sequence));
      case store::AnchorRefusal::kOtherRequest:
        break;
    }
    return refuse(RefusalReason::kRequestIdUsed, "");
  }

  // A boot says under which launch it runs, and its evidence said so when it got its boot key. That
  // it is certified as well is no condition: the state under the new launch is on record either
  // way, and what the launch before still opens would be a fork of it.
  base::Result<void> end_conversion(const store::VmRecord& record) {
    const auto& launch = record.registration.launch;
    if (record.status != store::VmStatus::kConverting ||
        message_.launch_digest != launch_digest_bytes(launch.digest, launch.family)) {
      return {};
    }
    const auto id = vmgs::crypto::sha256({base::bytes_of("converted"), message_.request_id});
    store::Act act{{}, now_, boost::json::serialize(log_)};
    std::copy_n(id.begin(), act.request_id.size(), act.request_id.begin());
    return worker_.records.confirm_conversion(message_.vm_id, record.conf_version, act);
  }

  base::Result<base::Bytes> receipt_for(std::uint64_t restores) {
    pb::Receipt receipt;
    receipt.set_vm_id(field_of(message_.vm_id));
    auto& anchor = *receipt.mutable_anchor();
    anchor.set_epoch(message_.epoch);
    anchor.set_sequence(message_.state.sequence);
    anchor.set_digest(field_of(message_.state.digest));
    receipt.set_restores(restores);
    receipt.set_kind(message_.step == AnchorStep::kBoot ? pb::AnchorBody::BOOT
                                                        : pb::AnchorBody::CLOSED);
    receipt.set_issued_at(seconds_of(now_));
    return sign_receipt(worker_.rules.signer, receipt);
  }

  Outcome<base::Bytes> answer_with(const base::Bytes& receipt, const store::VmRecord& record) {
    pb::Answer answer;
    answer.set_vm_id(field_of(message_.vm_id));
    answer.set_issued_at(seconds_of(now_));
    auto& anchored = *answer.mutable_anchored();
    anchored.set_receipt(field_of(receipt));
    if (message_.certification) {
      certify(record, anchored);
      if (auto noted = note_certification(anchored); !noted) {
        return failed(std::move(noted));
      }
    } else if (message_.step == AnchorStep::kBoot) {
      auto wants = wants_certification(record);
      if (!wants) {
        return failed(std::move(wants));
      }
      anchored.set_wants_certification(*wants);
    }
    auto signed_answer = sign_answer(worker_.rules.signer, bytes_, answer);
    if (!signed_answer) {
      return failed(std::move(signed_answer));
    }
    return *std::move(signed_answer);
  }

  [[nodiscard]] authority::InstanceRequests* certifier_of(const store::VmRecord& record) const {
    return record.registration.root_class == evidence::RootClass::kSimulated
               ? certifiers_.simulated
               : certifiers_.production;
  }

  base::Result<bool> wants_certification(const store::VmRecord& record) {
    auto* const certifier = certifier_of(record);
    if (certifier == nullptr) {
      return false;
    }
    TRY_ASSIGN(certified, certifier->is_certified(message_.vm_id, now_));
    return !certified;
  }

  void certify(const store::VmRecord& record, pb::Anchored& anchored) {
    auto* const certifier = certifier_of(record);
    auto& refusal = *anchored.mutable_certification_refusal();
    if (certifier == nullptr) {
      refusal.set_reason("this broker certifies no VMs of class " +
                         std::string(name(record.registration.root_class)));
      refusal.set_not_offered(true);
      return;
    }
    // A boot of the launch before a conversion is certified under that one.
    const bool is_previous = record.previous && claims_ &&
                             claims_->launch == launch_digest_bytes(record.previous->launch.digest,
                                                                    record.previous->launch.family);
    const auto& launch = is_previous ? record.previous->launch : record.registration.launch;
    auto vm = authority::registered_vm(launch.document);
    if (!vm) {
      refusal.set_reason(vm.error().message);
      return;
    }
    vm->epoch = message_.epoch;
    instance::CertificationRequest asked;
    *asked.mutable_confidential() = *message_.certification;
    auto answer = certifier->answer(*vm, asked, now_);
    if (answer.has_certificates()) {
      *anchored.mutable_certificates() = std::move(*answer.mutable_certificates());
      anchored.clear_certification_refusal();
    } else {
      refusal = std::move(*answer.mutable_refusal());
    }
  }

  // Which TPM this broker vouches for is for the log before the VM has the certificate, and so is
  // why it vouches for none.
  base::Result<void> note_certification(const pb::Anchored& anchored) {
    if (anchored.certification_refusal().not_offered()) {
      return {};
    }
    auto log = log_;
    log["epoch"] = message_.epoch;
    const bool is_certified = anchored.has_certificates();
    if (is_certified) {
      const auto& made = anchored.certificates();
      boost::json::array digests;
      for (const auto* der : {&made.ak(), &made.rsa_ek(), &made.ecc_ek()}) {
        if (!der->empty()) {
          digests.emplace_back(base::to_hex(vmgs::crypto::sha256(base::bytes_of(*der))));
        }
      }
      log["certificates_sha256"] = std::move(digests);
    } else {
      log["why"] = anchored.certification_refusal().reason();
    }
    return worker_.records.note(message_.vm_id, is_certified ? "certified" : "not-certified",
                                {message_.request_id, now_, boost::json::serialize(log)});
  }

  Worker& worker_;
  const Certifiers& certifiers_;
  base::ByteView bytes_;
  const AnchorMessage& message_;
  crypto::Time now_;
  std::optional<protocol::ExtendedClaims> claims_;
  boost::json::object log_;
  bool is_authentic_ = false;
};

}  // namespace

base::Result<base::Bytes> answer_anchor(Worker& worker, const Certifiers& certifiers,
                                        std::string_view caller, base::ByteView request,
                                        crypto::Time now) {
  TRY_ASSIGN(message, decode_anchor_request(request));
  if (!worker.limit.take(caller, message.vm_id, now)) {
    return base::fail(ErrorCode::kUnavailable,
                      "too-many-requests: this host has asked too often for this VM; wait");
  }
  AnchorAttempt attempt(worker, certifiers, caller, request, message, now);
  auto answer = attempt.run();
  if (answer) {
    return *std::move(answer);
  }
  if (auto* error = std::get_if<base::Error>(&answer.error())) {
    return base::fail(std::move(*error));
  }
  const auto& refused = std::get<Refusal>(answer.error());
  if (attempt.is_authentic() || worker.limit.take_for_strangers(caller, now)) {
    TRY(worker.records.refuse(message.vm_id, refused.word, attempt.act_of(refused)));
  }
  return sign_refusal(worker.rules.signer, request, message.vm_id, refused, now);
}

}  // namespace keybroker::broker
