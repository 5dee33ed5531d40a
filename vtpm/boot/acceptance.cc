// SPDX-License-Identifier: Apache-2.0
#include "vtpm/boot/acceptance.h"

#include <utility>

namespace vtpm::boot {

namespace {

// A digest covers the sequence and names the state.
bool is_same_state(const Anchor& one, const Anchor& other) {
  return one.sequence == other.sequence && one.digest == other.digest;
}

bool descends_from(const Anchor& anchor, const Anchor& opened, const Record& record) {
  return is_same_state(anchor, opened) || (record.acked && is_same_state(anchor, *record.acked)) ||
         (record.pending && is_same_state(anchor, *record.pending));
}

}  // namespace

Verdict judge(const Anchor& opened, const Record& record, const WitnessedHistory& history) {
  if (history.anchor && descends_from(*history.anchor, opened, record)) {
    return Verdict::kCurrent;
  }
  if (history.allowed_restore && descends_from(*history.allowed_restore, opened, record)) {
    return Verdict::kRestored;
  }
  if (!history.anchor) {
    return Verdict::kUnwitnessed;
  }
  return opened.sequence < history.anchor->sequence ? Verdict::kStale : Verdict::kForked;
}

void note_sent(Record& record, const Anchor& point) { record.pending = point; }

void note_acknowledged(Record& record, const Anchor& point, base::Bytes receipt,
                       std::uint64_t restores) {
  record.acked = point;
  record.pending.reset();
  record.receipt = std::move(receipt);
  record.restores = restores;
  record.offline_boots = 0;
}

}  // namespace vtpm::boot
