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
  TRY(expect(verdict, opened_->at, opened_->record));
  TRY_ASSIGN(point, store_->state());
  used_restore_ = verdict == Verdict::kRestored;
  released_ = std::move(released);
  point.epoch = released_->epoch;
  TRY_ASSIGN(made, request(client::AnchorKind::kBoot, point, std::nullopt));
  become_owner(*record_);
  note_sent(*record_, point);
  store_->carry(*record_);
  outstanding_ = std::move(made);
  return {};
}

base::Result<void> BrokerBoot::rejoin(const BetweenCommands& between_commands,
                                      const std::stop_token& stop) {
  const std::lock_guard lock(talking_);
  if (ended_) {
    return base::fail(*ended_);
  }
  if (!offline_ || store_ == nullptr) {
    return {};
  }
  const auto busy = [] {
    return base::fail(ErrorCode::kUnavailable, "the TPM is off, and is asked again");
  };
  // Of a notice that may have arrived the same one tells, and another claim would not: the state as
  // it was opened may be in the past by it.
  if (!outstanding_) {
    std::optional<base::Error> no_evidence;
    auto released = ask_broker(stop, no_evidence);
    if (no_evidence) {
      return base::fail(ErrorCode::kUnavailable,
                        "the TEE gives no report: " + no_evidence->message);
    }
    if (!released && released.error().code == ErrorCode::kDenied) {
      return refuse(Readiness::kBrokerRefused, std::move(released).error());
    }
    TRY_ASSIGN(owned, std::move(released));
    base::Result<void> taken_up;
    if (!between_commands([&] { taken_up = take_up(std::move(owned)); })) {
      return busy();
    }
    TRY(std::move(taken_up));
  }
  auto anchored = send(*outstanding_, stop);
  if (!anchored && anchored.error().code == ErrorCode::kDenied) {
    return refuse(Readiness::kBrokerRefused, std::move(anchored).error());
  }
  TRY_ASSIGN(noted, std::move(anchored));
  const bool settled = between_commands([&] {
    settle(noted);
    offline_ = false;
    opened_.reset();
  });
  return settled ? base::Result<void>() : busy();
}

}  // namespace vtpm::boot
