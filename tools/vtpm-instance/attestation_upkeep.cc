// SPDX-License-Identifier: Apache-2.0
#include "tools/vtpm-instance/attestation_upkeep.h"

#include <time.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <chrono>
#include <utility>

#include "keybroker/crypto/time.h"
#include "tools/vtpm-instance/spread.h"
#include "vmgs/base/log.h"

namespace tools::vtpm_instance {

namespace asio = boost::asio;
using base::ErrorCode;
using keybroker::protocol::Readiness;
using vtpm::provision::AkPresence;
using vtpm::provision::Certificates;
using vtpm::provision::ClaimedKeys;
using vtpm::provision::Obstacle;
using vtpm::provision::RenewalSchedule;

namespace {

// A sleep of the machine is not seen by the clock of timers, so they are looked at now and then.
constexpr std::chrono::hours kLongestSleep{1};

// How soon a write is tried again that the TPM did not take: it waits for its Startup, or a guest
// is reading.
constexpr std::chrono::seconds kUntilNextWrite{1};

// Time since the machine was turned on, sleep included: nobody sets it.
RenewalSchedule::Time now() {
  timespec time{};
  ::clock_gettime(CLOCK_BOOTTIME, &time);
  return RenewalSchedule::Time(std::chrono::seconds(time.tv_sec) +
                               std::chrono::nanoseconds(time.tv_nsec));
}

std::chrono::sys_seconds wall() {
  return std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
}

bool stays(const base::Error& refusal) {
  return refusal.code == ErrorCode::kDenied || refusal.code == ErrorCode::kNotFound;
}

base::Result<base::SecretBytes> cannot_answer(const vtpm::provision::CredentialChallenge&) {
  return base::fail(ErrorCode::kDenied,
                    "the authority wants the AK proven, which a TPM cannot do while its guest uses "
                    "it; the next start does");
}

Readiness readiness_for(Obstacle obstacle) {
  switch (obstacle) {
    case Obstacle::kAkMissing:
      return Readiness::kAkMissing;
    case Obstacle::kAkSquatted:
      return Readiness::kAkSquatted;
    case Obstacle::kUnproven:
    case Obstacle::kIndexSquatted:
      return Readiness::kReportMissing;
    case Obstacle::kNone:
      break;
  }
  return Readiness::kReady;
}

}  // namespace

AttestationUpkeep::Begun::Begun(const base::Result<vtpm::provision::Provisioned>& provisioned)
    : readiness(readiness_of(provisioned)) {
  if (!provisioned) {
    return;
  }
  if (provisioned->rsa_ak && provisioned->rsa_ek) {
    keys = ClaimedKeys{.rsa_ak = *provisioned->rsa_ak,
                       .rsa_ek = *provisioned->rsa_ek,
                       .ecc_ak = provisioned->ecc_ak,
                       .ecc_ek = provisioned->ecc_ek};
  }
  password = provisioned->index_password;
  renew_at = provisioned->renew_at;
  ends_at = provisioned->ends_at;
  uncertified = provisioned->uncertified;
  is_proven = !provisioned->twin;
}

AttestationUpkeep::AttestationUpkeep(Surroundings surroundings, Begun begun)
    : around_(std::move(surroundings)),
      begun_(std::move(begun)),
      schedule_(spread),
      timer_(around_.io),
      is_proven_(begun_.is_proven),
      awaits_broker_(begun_.awaits_broker),
      ends_at_(begun_.ends_at),
      uncertified_(begun_.uncertified.value_or(base::Error{ErrorCode::kUnavailable, ""})),
      aks_may_be_gone_(begun_.aks_may_be_gone) {}

AttestationUpkeep::Begun AttestationUpkeep::so_far() const {
  auto begun = begun_;
  begun.ends_at = ends_at_;
  begun.uncertified.reset();
  if (!uncertified_.message.empty()) {
    begun.uncertified = uncertified_;
  }
  begun.renew_at.reset();
  if (schedule_.due()) {
    begun.renew_at = std::chrono::floor<std::chrono::seconds>(wall() + (*schedule_.due() - now()));
  }
  if (held_) {
    begun.renew_at = wall();  // what came is not in the TPM yet: another is asked for
  }
  if (twins_word_.readiness != Readiness::kReady) {
    // There are no keys to go by.
    begun.readiness = twins_word_;
    begun.keys.reset();
  }
  begun.is_proven = is_proven_;
  begun.aks_may_be_gone = aks_may_be_gone_ || ak_is_missing_;
  return begun;
}

AttestationReadiness AttestationUpkeep::readiness() const {
  const bool obstructed = begun_.readiness.readiness != Readiness::kReady &&
                          begun_.readiness.readiness != Readiness::kAkCertMissing &&
                          begun_.readiness.readiness != Readiness::kAkCertRefused;
  if (obstructed) {
    return begun_.readiness;
  }
  if (twins_word_.readiness != Readiness::kReady) {
    return twins_word_;
  }
  if (aks_.obstacle != Obstacle::kNone) {
    return {readiness_for(aks_.obstacle), aks_.reason};
  }
  if (around_.vouching && begun_.keys && (!ends_at_ || has_ended_)) {
    auto why = uncertified_;
    if (ends_at_) {
      why.message = "the attestation key's certificate ended on " +
                    keybroker::crypto::to_text(*ends_at_) +
                    (why.message.empty() ? "" : ": " + why.message);
    }
    return readiness_of_uncertified(why);
  }
  return {};
}

void AttestationUpkeep::start() {
  if (begun_.renew_at) {
    schedule_.found(*begun_.renew_at, wall(), now());
  } else if (begun_.uncertified && !stays(*begun_.uncertified)) {
    schedule_.failed(now());
  }
  wait_for_next();
}

void AttestationUpkeep::twin_has_spoken(Obstacle found) {
  is_proven_ = found == Obstacle::kNone;
  if (!is_proven_) {
    const bool unproven = found == Obstacle::kUnproven;
    twins_word_ = {unproven ? Readiness::kReportMissing : Readiness::kAkSquatted,
                   unproven ? "whether the TPM's keys are its own could not be found out"
                            : "an attestation or endorsement key in the TPM is not its own"};
    around_.changed();
  }
  work();
}

void AttestationUpkeep::broker_is_back(bool wants_certification) {
  awaits_broker_ = false;
  if (!ends_at_ || has_ended_ || wants_certification) {
    schedule_.found(wall(), wall(), now());
  }
  work();
}

void AttestationUpkeep::stop() {
  stopped_ = true;
  timer_.cancel();
  worker_.request_stop();
}

bool AttestationUpkeep::may_ask() const {
  return around_.vouching && begun_.keys && begun_.password && is_proven_ && !awaits_broker_ &&
         schedule_.due() && *schedule_.due() <= now();
}

// Begins whatever is to be done next, if nothing is being done.
void AttestationUpkeep::work() {
  if (working_ || stopped_) {
    return;
  }
  if (std::exchange(wants_look_, false)) {
    begin([this](const std::stop_token&) {
      around_.device.between_commands([this] { look_at_aks(); });
      return Turn{};
    });
  } else if (held_) {
    begin([this, held = *held_](const std::stop_token&) {
      Turn turn;
      write(held, turn);
      return turn;
    });
  } else if (may_ask()) {
    begin([this](const std::stop_token& stop) {
      Turn turn;
      turn.given = vtpm::provision::ask_for_certificates(*around_.vouching, *begun_.keys, {},
                                                         cannot_answer, stop);
      if (*turn.given) {
        write(**turn.given, turn);
      }
      return turn;
    });
  } else {
    wait_for_next();
  }
}

void AttestationUpkeep::begin(std::function<Turn(const std::stop_token&)> turn) {
  working_ = true;
  worker_ = std::jthread([this, turn = std::move(turn)](const std::stop_token& stop) {
    asio::post(around_.io, [this, done = turn(stop)]() mutable { ended(std::move(done)); });
  });
}

void AttestationUpkeep::ended(Turn turn) {
  working_ = false;
  if (stopped_) {
    return;
  }
  if (turn.given) {
    came(*std::move(turn.given));
  }
  if (turn.unwritten && held_) {
    // Its guest or its disk would refuse the next one as well.
    base::log(base::LogLevel::kWarning,
              "the new certificate could not be stored: " + turn.unwritten->message);
    held_.reset();
    uncertified_ = {ErrorCode::kDenied, turn.unwritten->message + "; the next start tries again"};
    schedule_.refused();
    around_.changed();
  }
  if (turn.written && held_) {
    if (const auto certificate = vtpm::provision::ak_certificate_of(*held_)) {
      ends_at_ = certificate->not_after();
      has_ended_ = false;
    }
    held_.reset();
    base::log(base::LogLevel::kInfo, "the attestation key has a new certificate");
    around_.changed();
  }
  if (held_) {
    // Later, and not at once again.
    timer_.expires_after(kUntilNextWrite);
    timer_.async_wait([this](boost::system::error_code error) {
      if (!error) {
        work();
      }
    });
    return;
  }
  work();
}

void AttestationUpkeep::came(base::Result<Certificates> given) {
  if (given) {
    if (const auto certificate = vtpm::provision::ak_certificate_of(*given)) {
      schedule_.certified(certificate->renewal_time(), wall(), now());
    }
    held_ = *std::move(given);
    return;
  }
  base::log(base::LogLevel::kWarning,
            "the attestation key was not certified: " + given.error().message);
  if (stays(given.error())) {
    schedule_.refused();
  } else {
    schedule_.failed(now());
  }
  uncertified_ = given.error();
  around_.changed();
}

// Until the next request is due, or the certificate ends.
void AttestationUpkeep::wait_for_next() {
  const bool may_end = ends_at_ && !has_ended_;
  const auto due = awaits_broker_ ? std::nullopt : schedule_.due();
  if (stopped_ || !around_.vouching || (!due && !may_end)) {
    return;
  }
  auto left = RenewalSchedule::Duration(kLongestSleep);
  if (due) {
    left = std::min(left, *due - now());
  }
  if (may_end && *ends_at_ < wall() + kLongestSleep) {
    left = std::min<RenewalSchedule::Duration>(left, *ends_at_ - wall() + std::chrono::seconds(1));
  }
  timer_.expires_after(std::max(left, RenewalSchedule::Duration::zero()));
  timer_.async_wait([this](boost::system::error_code error) {
    if (error) {
      return;
    }
    look_at_end();
    if (is_proven_) {
      work();
    }
  });
}

void AttestationUpkeep::look_at_end() {
  if (ends_at_ && !has_ended_ && *ends_at_ <= wall()) {
    has_ended_ = true;
    around_.changed();
  }
}

void AttestationUpkeep::write(const Certificates& certificates, Turn& turn) {
  around_.device.between_commands([&] {
    if (readers_.are_reading(std::chrono::steady_clock::now())) {
      return;
    }
    auto done = vtpm::provision::replace_certificates(around_.engine, around_.store,
                                                      *begun_.password, certificates);
    turn.written = done.has_value();
    if (!done && done.error().code != ErrorCode::kUnavailable) {
      turn.unwritten = std::move(done).error();
    }
  });
}

void AttestationUpkeep::before(base::ByteView command) {
  readers_.saw(command, std::chrono::steady_clock::now());
  if (!begun_.keys) {
    return;
  }
  look_at_aks();  // what the command before has done
  aks_may_be_gone_ = vtpm::provision::may_remove_aks(command) ||
                     (ak_is_missing_ && vtpm::provision::may_make_room(command)) ||
                     aks_may_be_gone_;
  if (aks_may_be_gone_) {
    asio::post(around_.io, [this] {
      wants_look_ = true;
      work();
    });
  }
}

void AttestationUpkeep::look_at_aks() {
  if (!aks_may_be_gone_) {
    return;
  }
  auto presence =
      vtpm::provision::restore_aks(around_.engine, begun_.keys->rsa_ak, begun_.keys->ecc_ak);
  if (!presence) {
    return;  // the TPM does not say now, and is asked again
  }
  aks_may_be_gone_ = false;
  ak_is_missing_ = presence->obstacle != Obstacle::kNone;
  asio::post(around_.io, [this, there = *std::move(presence)] {
    if (aks_ != there) {
      aks_ = there;
      around_.changed();
    }
  });
}

}  // namespace tools::vtpm_instance
