// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/json/object.hpp>
#include <cstdint>
#include <string_view>

#include "keybroker/protocol/launch_document.h"
#include "vmgs/base/result.h"

namespace keybroker::protocol {

// Who outside a store witnesses which state is its newest.
enum class WitnessKind : std::uint8_t { kNone, kBroker, kTpm };

// What a start knows of that.
enum class FreshnessState : std::uint8_t {
  kUnanchored,  // nothing: there is no witness
  kOffline,     // nothing yet: the witness was away, and the VM may start without it
  kFresh        // the witness has said that this is the newest state, and that this start owns it
};

// name() is the word that claims have for it.
std::string_view name(WitnessKind kind);
std::string_view name(FreshnessState state);

// FreshnessClaim is the member "freshness" of the extended claims.
struct FreshnessClaim {
  WitnessKind by = WitnessKind::kNone;
  FreshnessState state = FreshnessState::kUnanchored;
  std::uint64_t epoch = 0;     // of the last claim that the store knows of
  std::uint64_t acked = 0;     // the commit sequence that the witness has acknowledged; 0: none
  std::uint64_t sequence = 0;  // the one of the state when this was said
  std::uint64_t restores = 0;  // how often an older state was brought back, with leave
  std::uint64_t offline_boots = 0;  // starts without the witness since the last with it
  AnchorClass policy = AnchorClass::kNone;
  std::uint32_t interval_seconds = 0;  // with class interval
  Lease lease = Lease::kNone;

  friend bool operator==(const FreshnessClaim&, const FreshnessClaim&) = default;
};

// to_json() is the member's value, and freshness_claim() reads it, passing over members that it
// does not know. kCorrupt for a member that is missing or misshaped.
boost::json::object to_json(const FreshnessClaim& claim);
base::Result<FreshnessClaim> freshness_claim(const boost::json::object& object);

}  // namespace keybroker::protocol
