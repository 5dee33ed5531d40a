// SPDX-License-Identifier: Apache-2.0
#include <string>
#include <utility>
#include <variant>

#include "vmgs/base/log.h"
#include "vtpm/boot/broker_boot.h"

// What a boot tells its broker of the VM's state, and what it gets certified.
namespace vtpm::boot {

namespace client = keybroker::client;
namespace instance = strongroom::instance::v1;
using base::ErrorCode;
using keybroker::protocol::Readiness;
using provision::Certificates;

namespace {

// How often a notice is sent before nobody knows what became of it.
constexpr int kSendings = 2;

std::string text_of(base::ByteView bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

base::Bytes bytes_of(const std::string& field) { return base::copy_of(base::bytes_of(field)); }

instance::ConfidentialCertification wanted(const provision::CertificationOfEvidence& request) {
  instance::ConfidentialCertification wanted;
  wanted.set_report(text_of(request.bound.evidence.report));
  wanted.set_certificate_table(text_of(request.bound.evidence.certificates));
  wanted.set_hcl_report(text_of(request.bound.report.hcl));
  wanted.set_extended_claims(request.bound.report.extended_claims);
  wanted.set_rsa_ek(text_of(request.rsa_ek));
  wanted.set_ecc_ek(text_of(request.ecc_ek));
  return wanted;
}

base::Result<Certificates> certificates_of(const client::Anchored& anchored) {
  if (anchored.certificates) {
    const auto& given = *anchored.certificates;
    return Certificates{.ak = bytes_of(given.ak()),
                        .ak_chain = bytes_of(given.ak_chain()),
                        .rsa_ek = bytes_of(given.rsa_ek()),
                        .ecc_ek = bytes_of(given.ecc_ek())};
  }
  if (!anchored.certification_refusal) {
    return base::fail(ErrorCode::kNotFound, "the key broker gives no certificates to this VM");
  }
  const auto& refusal = *anchored.certification_refusal;
  const auto code = refusal.not_offered() ? ErrorCode::kNotFound
                    : refusal.may_pass()  ? ErrorCode::kUnavailable
                                          : ErrorCode::kDenied;
  return base::fail(code, "the key broker: " + refusal.reason());
}

}  // namespace

// A state to be noted whose own record has nothing pending. A later boot without the broker has to
// carry it as what may have been noted, and a record has room for one such state.
base::Result<Anchor> BrokerBoot::recorded_state() {
  TRY(store_->commit_record());
  TRY_ASSIGN(point, store_->state());
  point.epoch = released_->epoch;
  return point;
}

base::Result<client::AnchorRequest> BrokerBoot::request(
    client::AnchorKind kind, const Anchor& point,
    std::optional<instance::ConfidentialCertification> certification) const {
  return client::AnchorRequest::make(
      boot_, released_->epoch, released_->boot_key,
      {.kind = kind,
       .sequence = point.sequence,
       .digest = point.digest,
       .used_restore = kind == client::AnchorKind::kBoot && used_restore_,
       .certification = std::move(certification)});
}

base::Result<client::Anchored> BrokerBoot::send_once(const client::AnchorRequest& request,
                                                     const std::stop_token& stop) {
  TRY_ASSIGN(answered, request.send(settings_.channel, stop));
  if (auto* refusal = std::get_if<client::Refusal>(&answered)) {
    return base::fail(refusal->error());
  }
  return std::get<client::Anchored>(std::move(answered));
}

base::Result<client::Anchored> BrokerBoot::send(const client::AnchorRequest& request,
                                                const std::stop_token& stop) {
  client::Patience patience(settings_.patience);
  for (int sent = 1;; ++sent) {
    auto noted = send_once(request, stop);
    if (noted || noted.error().code != ErrorCode::kUnavailable || stop.stop_requested()) {
      return noted;
    }
    if (!patience.may_call_again(settings_.channel, stop) && sent >= kSendings) {
      return noted;
    }
  }
}

void BrokerBoot::settle(const client::Anchored& anchored) {
  const auto& notice = outstanding_->notice();
  const Anchor point{
      .epoch = released_->epoch, .sequence = notice.sequence, .digest = notice.digest};
  note_acknowledged(*record_, point, anchored.receipt, anchored.restores);
  store_->carry(*record_);
  history_ = {.anchor = point, .allowed_restore = std::nullopt};
  anchored_ = true;
  wants_certification_ = anchored.wants_certification;
  outstanding_.reset();
  if (settings_.keep_receipt) {
    settings_.keep_receipt(anchored.receipt);
  }
}

base::Result<client::Anchored> BrokerBoot::anchor_boot(
    std::optional<instance::ConfidentialCertification> certification, const std::stop_token& stop) {
  if (auto ended = this->ended()) {
    return base::fail(*std::move(ended));
  }
  if (!outstanding_) {
    TRY_ASSIGN(point, store_->state());
    TRY_ASSIGN(made, request(client::AnchorKind::kBoot, point, std::move(certification)));
    note_sent(*record_,
              {.epoch = released_->epoch, .sequence = point.sequence, .digest = point.digest});
    store_->carry(*record_);
    outstanding_ = std::move(made);
  }
  auto anchored = send(*outstanding_, stop);
  if (anchored) {
    settle(*anchored);
    return anchored;
  }
  if (anchored.error().code == ErrorCode::kDenied) {
    TRY(refuse(Readiness::kBrokerRefused, anchored.error()));
  }
  return anchored;
}

base::Result<void> BrokerBoot::anchor(const std::stop_token& stop) {
  const std::lock_guard lock(talking_);
  if (offline_ || anchored_) {
    return {};
  }
  auto anchored = anchor_boot(std::nullopt, stop);
  if (!anchored && anchored.error().code == ErrorCode::kUnavailable) {
    return refuse(Readiness::kBrokerAway, std::move(anchored).error());
  }
  TRY(std::move(anchored));
  return {};
}

base::Result<Certificates> BrokerBoot::certify(const provision::CertificationOfEvidence& asked,
                                               const std::stop_token& stop) {
  const std::lock_guard lock(talking_);
  if (offline_ || store_ == nullptr) {
    return base::fail(
        ErrorCode::kUnavailable,
        "the VM started while its key broker was away, which certifies it once it is back");
  }
  if (!anchored_) {
    TRY_ASSIGN(anchored, anchor_boot(wanted(asked), stop));
    return certificates_of(anchored);
  }
  TRY_ASSIGN(renewal, request(client::AnchorKind::kRenewal, {}, wanted(asked)));
  TRY_ASSIGN(anchored, send(renewal, stop));
  return certificates_of(anchored);
}

base::Result<Certificates> BrokerBoot::certify(const provision::CertificationOfHost&,
                                               const provision::AnswerChallenge&,
                                               const std::stop_token&) {
  return base::fail(ErrorCode::kNotFound,
                    "a key broker certifies on evidence, not on a host's word");
}

base::Result<void> BrokerBoot::close_store() {
  const std::lock_guard lock(talking_);
  return close_store_locked();
}

base::Result<void> BrokerBoot::close_store_locked() {
  if (store_ == nullptr) {
    return {};
  }
  const auto open = store_->state();
  const bool has_moved = open && anchored_ && open->sequence != history_.anchor->sequence;
  const auto point = has_moved ? recorded_state() : open;
  TRY(std::exchange(store_, nullptr)->close());
  if (has_moved && point) {
    end_ = *point;
  }
  return {};
}

base::Result<void> BrokerBoot::close() {
  const std::lock_guard lock(talking_);
  TRY(close_store_locked());
  const auto end = std::exchange(end_, std::nullopt);
  if (!end) {
    return {};
  }
  TRY_ASSIGN(closing, request(client::AnchorKind::kClosed, *end, std::nullopt));
  settings_.channel.wait_at_most(kEndLimit);
  const auto closed = send_once(closing, {});
  if (!closed) {
    base::log(base::LogLevel::kWarning,
              "the key broker was not told of the VM's orderly end; the next start still proves "
              "where its state comes from: " +
                  closed.error().message);
  } else if (settings_.keep_receipt) {
    settings_.keep_receipt(closed->receipt);
  }
  return {};
}

}  // namespace vtpm::boot
