// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "keybroker/policy/release_policy.h"

namespace keybroker::policy {

// What is probably not meant in a policy that is well formed.
enum class WarningKind : std::uint8_t {
  kNoDebugCheck,       // a block can hold for a machine that its host may look into
  kNoIdentityCheck,    // a block can hold for any image by anybody
  kSimulatedAccepted,  // a block can hold for a simulator, whose evidence anybody can make
  kNeverHolds,         // a condition that no claim set of ours can meet, or two that contradict
};

// name() is "no-debug-check" and so on, for JSON and logs.
std::string_view name(WarningKind kind);

// Warning is one of them, and where. A policy with warnings is a policy.
struct Warning {
  WarningKind kind;
  std::string path;
  std::string message;
};

// examine() finds them. A check counts only if every way in which a block can hold has it: of an
// allOf one member must, of an anyOf each.
std::vector<Warning> examine(const ReleasePolicy& policy);

}  // namespace keybroker::policy
