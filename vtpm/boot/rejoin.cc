// SPDX-License-Identifier: Apache-2.0
#include <optional>
#include <utility>

#include "vtpm/boot/broker_boot.h"

namespace vtpm::boot {

namespace client = keybroker::client;
using base::ErrorCode;
using keybroker::protocol::Readiness;

// A state that is admitted late, and noted as it is by now.
base::Result<void> BrokerBoot::take_up(client::Released released) {
  history_ = history_of(released);
  const auto verdict = judge(opened_->at, opened_->record, history_);
  if (auto expected = expect(verdict, opened_->at, opened_->record); !expected) {
    auto made = client::AnchorRequest::make(boot_, released.epoch, released.boot_key,
                                            {.kind = client::AnchorKind::kCondemned,
                                             .sequence = opened_->at.sequence,
                                             .digest = opened_->at.digest});
    if (made) {
      condemnation_ = *std::move(made);
    }
    return expected;
  }
  used_restore_ = verdict == Verdict::kRestored;
  released_ = std::move(released);
  become_owner(*record_);
  store_->carry(*record_);
  TRY_ASSIGN(point, recorded_state());
  TRY_ASSIGN(made, request(client::AnchorKind::kBoot, point, std::nullopt));
  note_sent(*record_, point);
  store_->carry(*record_);
  outstanding_ = std::move(made);
  return {};
}

base::Result<void> BrokerBoot::tell_condemned(const std::stop_token& stop) {
  const std::lock_guard lock(talking_);
  const auto condemnation = std::exchange(condemnation_, std::nullopt);
  if (!condemnation) {
    return {};
  }
  TRY(send(*condemnation, stop));
  return {};
}

base::Result<void> BrokerBoot::rejoin(const AtRest& at_rest, const std::stop_token& stop) {
  const std::lock_guard lock(talking_);
  if (auto ended = this->ended()) {
    return base::fail(*std::move(ended));
  }
  if (!offline_ || store_ == nullptr) {
    return {};
  }
  // Of a notice that may have arrived the same one tells, and another claim would not: the state as
  // it was opened may be in the past by it.
  if (!outstanding_) {
    std::optional<base::Error> no_evidence;
    auto released = ask_broker(stop, std::chrono::seconds(0), settings_.receipt, no_evidence);
    if (no_evidence) {
      return base::fail(ErrorCode::kUnavailable,
                        "the TEE gives no report: " + no_evidence->message);
    }
    if (!released && released.error().code == ErrorCode::kDenied) {
      return refuse(Readiness::kBrokerRefused, std::move(released).error());
    }
    TRY_ASSIGN(owned, std::move(released));
    const auto& record = opened_->record;
    if (may_be_unknown(judge(opened_->at, record, history_of(owned)), record)) {
      auto shown = ask_broker(stop, std::chrono::seconds(0), record.receipt, no_evidence);
      if (!shown) {
        // Nobody is condemned on half an answer.
        return base::fail(ErrorCode::kUnavailable, std::move(shown).error().message);
      }
      owned = *std::move(shown);
    }
    base::Result<void> taken_up;
    at_rest([&] { taken_up = take_up(std::move(owned)); });
    TRY(std::move(taken_up));
  }
  auto anchored = send(*outstanding_, stop);
  if (!anchored && anchored.error().code == ErrorCode::kDenied) {
    return refuse(Readiness::kBrokerRefused, std::move(anchored).error());
  }
  TRY_ASSIGN(noted, std::move(anchored));
  at_rest([&] {
    settle(noted);
    offline_ = false;
    opened_.reset();
  });
  return {};
}

}  // namespace vtpm::boot
