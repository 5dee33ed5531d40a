// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "vmgs/format/sealed_keys.h"
#include "vmgs/inspect/survey.h"
#include "vmgs/storage/block_device.h"

namespace vmgs::inspect {

// Who a store is from, as far as its bytes tell.
enum class Origin {
  kOurs,       // of an instance of ours, and nobody else wrote it since
  kEdited,     // of ours, and changed by a tool, another maker's program, or without the key
  kForeign,    // of another maker
  kSimulated,  // of ours on a simulated TEE, which protects nothing, whatever else was done to it
  kUnknown,    // what would tell is locked away, or there is nothing
};

// name() is a stable lower-case word, for JSON: "ours", "edited", "foreign", "simulated",
// "unknown".
std::string_view name(Origin origin);

struct Provenance {
  Origin origin = Origin::kUnknown;

  // Whether something sealed with the store's key says so. What only plaintext says, anybody with
  // the file can have written.
  bool authenticated = false;

  std::vector<std::string> reasons;  // sentences; the first is the one that decided
};

// tell_provenance() looks at the state of a survey for the marks of its makers. A file that cannot
// be read is no mark.
Provenance tell_provenance(storage::BlockDevice& device, const Survey& survey);

}  // namespace vmgs::inspect
