// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <variant>

#include "keybroker/evidence/verify.h"
#include "vmgs/base/result.h"

namespace keybroker::broker {

// Why the broker says no, beside what is wrong with evidence, for which keybroker/evidence/reason.h
// has the words. The words are a contract: they stand in answers, in the log and in scripts.
enum class RefusalReason : std::uint8_t {
  // What cannot be answered under a signature, for nobody knows which VM it is about.
  kRequestTooLarge,
  kRequestMalformed,
  // The challenge.
  kChallengeUnknown,
  kChallengeExpired,
  kChallengeOtherVm,
  kChallengeUsed,
  // The registration.
  kVmUnregistered,
  kVmDisabled,
  kVmDeleted,
  kRecordsAltered,
  kLaunchDocumentOther,
  kLaunchDocumentReplaced,
  kTeeOther,
  kProtectionOther,
  kSimulatedNotAccepted,
  kCloneNotOffered,
  // The request as a whole.
  kTransferKeyUnusable,
  kCertificateTableMalformed,
  kRequestIdUsed,
  // Evidence, where its own words do not say enough.
  kGuestReport,
  kEvidenceNotChecked,
  // The owners.
  kPolicyDenied,
  kExecutionPolicyMissing,
  kExecutionPolicyAltered,
  kLeaseRunning,
  // Receipts and anchors.
  kReceiptForged,
  kReceiptOtherVm,
  kAnchorMac,
  kAnchorFenced,
  kAnchorStale,
  kStaleState,
  kForkedState,
  // Attestation tokens, and workload keys that are asked for by them.
  kTokenForged,
  kTokenExpired,
  kTokenOtherAudience,
  kTokenUsed,
  kStateNotFresh,
  kKeyUnknown,
};

// A RefusalCard is what is known about a reason before it happens.
struct RefusalCard {
  RefusalReason reason;
  std::string_view word;
  std::string_view meaning;  // one sentence
  std::string_view remedy;   // what to do next, one sentence
  bool begin_again;          // another attempt with a new challenge may help
};

// all_refusals() lists every reason, in the order of the enumeration. card() is that of one.
std::span<const RefusalCard> all_refusals();
const RefusalCard& card(RefusalReason reason);

// word_meaning() explains a word of an answer or a log, the broker's or evidence's: its meaning and
// what to do. Nothing for another word.
struct WordMeaning {
  std::string_view meaning;
  std::string_view remedy;
};

std::optional<WordMeaning> word_meaning(std::string_view word);

// Refusal is a no to one request. `detail` says what was expected and seen; it goes to the instance
// and into the log, and holds no secret. `before_evidence` says that a caller whom nothing else
// vouches for had shown no evidence that verifies: the log may have the word, the caller may not.
struct Refusal {
  std::string word;
  std::string detail;
  bool begin_again = false;
  bool before_evidence = false;
};

Refusal refusal(RefusalReason reason, const std::string& seen);

// refusal() of evidence that was not accepted: the word of its reason, the detail of its first
// failed check, and the remedy.
Refusal refusal(const evidence::Verdict& verdict);

// Failure is why a request has no good answer: it is refused, and so are the same bytes again; or
// the broker cannot say now, which is no word about the VM.
using Failure = std::variant<Refusal, base::Error>;

// refuses() tells whether a failure is a refusal for this reason.
bool refuses(const Failure& failure, RefusalReason reason);

// Outcome<T> holds a T or a Failure.
template <typename T>
using Outcome = tl::expected<T, Failure>;

// refuse() leaves a function that gives an Outcome.
[[nodiscard]] inline tl::unexpected<Failure> refuse(RefusalReason reason, const std::string& seen) {
  return tl::unexpected<Failure>(refusal(reason, seen));
}

// failed() passes on what an inner step failed with.
template <typename T>
[[nodiscard]] tl::unexpected<Failure> failed(Outcome<T>&& outcome) {
  return tl::unexpected<Failure>(std::move(outcome).error());
}

template <typename T>
[[nodiscard]] tl::unexpected<Failure> failed(base::Result<T>&& result) {
  return tl::unexpected<Failure>(std::move(result).error());
}

}  // namespace keybroker::broker
