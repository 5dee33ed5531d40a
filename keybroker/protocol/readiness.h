// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string_view>

#include "vmgs/base/result.h"

namespace keybroker::protocol {

// Readiness is whether a VM may trust its TPM with a secret now, and if not, why. The instance
// knows some of these and vtpmd the others; their names are for people, programs and wires alike.
enum class Readiness {
  kReady,
  kProvisioning,
  kStopped,
  kStopping,
  kDetached,
  kLockedOut,
  kFailureMode,
  kCrashed,
  kStateMissing,
  kStateDamaged,
  kStateForeign,
  kMovedAway,
  kStaleState,
  kForkedState,
  kBrokerRefused,
  kBrokerAway,
  kSealedElsewhere,
  kKeyMissing,
  kStoreBusy,
  kStoreFailing,
  kAkCertMissing,
  kAkCertRefused,
  kAkMissing,
  kAkSquatted,
  kReportMissing,
  kNotSetUp,
};

// What waiting does about a readiness.
enum class Prospect {
  kReady,     // Nothing to wait for.
  kPasses,    // It changes by itself, or when a hypervisor connects.
  kNeedsHelp  // It stays until somebody does what the remedy says.
};

struct ReadinessRow {
  Readiness readiness;
  std::string_view name;
  Prospect prospect;
  // What it means, and what to do about it: whole sentences for whoever runs the VM.
  std::string_view meaning;
  std::string_view remedy;
};

// row() is what there is to say about one readiness; readiness_rows() is the whole table.
const ReadinessRow& row(Readiness readiness);
std::span<const ReadinessRow> readiness_rows();

inline std::string_view name(Readiness readiness) { return row(readiness).name; }

// parse_readiness() is the inverse of name(). kInvalidArgument for any other word.
base::Result<Readiness> parse_readiness(std::string_view word);

}  // namespace keybroker::protocol
