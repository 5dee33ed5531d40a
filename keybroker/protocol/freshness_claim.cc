// SPDX-License-Identifier: Apache-2.0
#include "keybroker/protocol/freshness_claim.h"

#include <charconv>
#include <limits>
#include <string>

#include "keybroker/protocol/strict_json.h"

namespace keybroker::protocol {

namespace {

constexpr auto kMost = std::numeric_limits<std::uint64_t>::max();

// "boot", or "interval:3600".
std::string policy_text(const FreshnessClaim& claim) {
  auto text = std::string(name(claim.policy));
  if (claim.policy == AnchorClass::kInterval) {
    text += ":" + std::to_string(claim.interval_seconds);
  }
  return text;
}

base::Result<void> read_policy(std::string_view text, FreshnessClaim& claim) {
  const auto colon = text.find(':');
  TRY_ASSIGN(policy, parse_anchor_class(text.substr(0, colon)));
  claim.policy = policy;
  if (colon != std::string_view::npos) {
    const auto digits = text.substr(colon + 1);
    std::from_chars(digits.data(), digits.data() + digits.size(), claim.interval_seconds);
  }
  // One form for one policy.
  if (policy_text(claim) != text) {
    return base::fail(base::ErrorCode::kCorrupt, "the member 'policy' is no anchor policy");
  }
  return {};
}

}  // namespace

std::string_view name(WitnessKind kind) {
  switch (kind) {
    case WitnessKind::kNone:
      return "none";
    case WitnessKind::kBroker:
      return "broker";
    case WitnessKind::kTpm:
      return "tpm";
  }
  return "";
}

std::string_view name(FreshnessState state) {
  switch (state) {
    case FreshnessState::kUnanchored:
      return "unanchored";
    case FreshnessState::kOffline:
      return "offline";
    case FreshnessState::kFresh:
      return "fresh";
  }
  return "";
}

boost::json::object to_json(const FreshnessClaim& claim) {
  return {{"by", name(claim.by)},
          {"state", name(claim.state)},
          {"epoch", claim.epoch},
          {"acked", claim.acked},
          {"seq", claim.sequence},
          {"restores", claim.restores},
          {"offline-boots", claim.offline_boots},
          {"policy", policy_text(claim)},
          {"lease", name(claim.lease)}};
}

base::Result<FreshnessClaim> freshness_claim(const boost::json::object& object) {
  FreshnessClaim claim;
  TRY_ASSIGN(
      by, word_member(object, "by", {WitnessKind::kNone, WitnessKind::kBroker, WitnessKind::kTpm}));
  TRY_ASSIGN(state, word_member(object, "state",
                                {FreshnessState::kUnanchored, FreshnessState::kOffline,
                                 FreshnessState::kFresh}));
  TRY_ASSIGN(epoch, number_member(object, "epoch", kMost));
  TRY_ASSIGN(acked, number_member(object, "acked", kMost));
  TRY_ASSIGN(sequence, number_member(object, "seq", kMost));
  TRY_ASSIGN(restores, number_member(object, "restores", kMost));
  TRY_ASSIGN(offline_boots, number_member(object, "offline-boots", kMost));
  TRY_ASSIGN(policy, text_member(object, "policy"));
  TRY_ASSIGN(lease, word_member(object, "lease", {Lease::kNone, Lease::kStrict}));
  claim.by = by;
  claim.state = state;
  claim.epoch = epoch;
  claim.acked = acked;
  claim.sequence = sequence;
  claim.restores = restores;
  claim.offline_boots = offline_boots;
  claim.lease = lease;
  if (const auto read = read_policy(policy, claim); !read) {
    return base::fail(base::ErrorCode::kCorrupt, read.error().message);
  }
  return claim;
}

}  // namespace keybroker::protocol
