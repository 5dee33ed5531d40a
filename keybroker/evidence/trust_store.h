// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "keybroker/crypto/certificate.h"
#include "vmgs/base/result.h"

namespace keybroker::evidence {

// Whether evidence comes from hardware or from a simulator. It travels with every answer.
enum class RootClass : std::uint8_t { kProduction, kSimulated };

// name() is "production" or "simulated".
std::string_view name(RootClass root_class);

// The places that a root can take: one for each AMD product line, one for Intel.
enum class RootSlot : std::uint8_t { kAmdMilan, kAmdGenoa, kAmdTurin, kIntelSgx };

// The common name of the root in each slot. Names are not trust: simulators use the same ones.
std::string_view common_name(RootSlot slot);

// A non-critical extension that every simulated root and intermediate carries; its content is NULL.
// Production refuses a chain with it before it looks at a signature.
inline constexpr std::string_view kSimulatedMarkerOid =
    "2.25.147609420582337355673610582021543591492";

// carries_simulated_marker() tells whether the extension is there, once or more often.
bool carries_simulated_marker(const crypto::Certificate& certificate);

// A root and the slot it is meant for.
struct SlottedRoot {
  RootSlot slot;
  crypto::Certificate certificate;
};

// TrustStore is which roots are trusted, by the SHA-256 of their DER, and of which class they are.
// It never mixes classes. Evidence cannot name one: whoever verifies chooses it.
class TrustStore {
 public:
  // production() has the pins of AMD's and Intel's roots, compiled in, and nothing can be added.
  static const TrustStore& production();

  // simulated() trusts roots that a simulator made. kDenied for a root without the marker, for one
  // whose name or key is not that of its slot, and for a slot that is filled twice.
  static base::Result<TrustStore> simulated(std::span<const SlottedRoot> roots);

  [[nodiscard]] RootClass root_class() const { return root_class_; }

  // trusts() tells whether this very certificate is the root in `slot`.
  [[nodiscard]] bool trusts(RootSlot slot, const crypto::Certificate& certificate) const;

 private:
  struct Pin {
    RootSlot slot;
    crypto::Fingerprint fingerprint;
  };

  TrustStore(RootClass root_class, std::vector<Pin> pins)
      : root_class_(root_class), pins_(std::move(pins)) {}

  RootClass root_class_;
  std::vector<Pin> pins_;
};

// slot_of() is the slot whose name a root has, if it has one of them.
std::optional<RootSlot> slot_of(const crypto::Certificate& root);

}  // namespace keybroker::evidence
