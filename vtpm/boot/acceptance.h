// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "vmgs/base/bytes.h"
#include "vmgs/format/record.h"

namespace vtpm::boot {

using vmgs::format::Anchor;
using vmgs::format::Record;

// What a witness outside the store says of a VM's history.
struct WitnessedHistory {
  std::optional<Anchor> anchor;           // the newest state that was acknowledged to an instance
  std::optional<Anchor> allowed_restore;  // an older one that its owner wants back, once
};

enum class Verdict {
  kCurrent,      // it is the anchored state, or descends from it
  kRestored,     // not so, but from the one that may come back
  kStale,        // it is older than the anchored state
  kForked,       // it went another way
  kUnwitnessed,  // there is no anchor: the store was not there when anything was witnessed
};

// judge() is the acceptance rule, for a store that opened at `opened` with `record` in it. A state
// descends from an anchor if that is the state itself, or what its record has as acked or as
// pending: a pair is sent only once it is durable, and every later commit carries it. Two states
// with one digest are one, whoever noted them in which epoch.
Verdict judge(const Anchor& opened, const Record& record, const WitnessedHistory& history);

// note_sent() and note_acknowledged() are what a record says from the next commit on: that `point`
// was sent to the witness, and that the witness has it, as `receipt` proves.
void note_sent(Record& record, const Anchor& point);
void note_acknowledged(Record& record, const Anchor& point, base::Bytes receipt,
                       std::uint64_t restores);

}  // namespace vtpm::boot
