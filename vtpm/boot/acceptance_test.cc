// SPDX-License-Identifier: Apache-2.0
#include "vtpm/boot/acceptance.h"

#include <gtest/gtest.h>

namespace vtpm::boot {
namespace {

// The state of a line of history at a sequence.
Anchor at(std::uint64_t sequence, unsigned char line = 1) {
  Anchor anchor{.epoch = 3, .sequence = sequence};
  anchor.digest.fill(std::byte{line});
  anchor.digest[0] = std::byte(sequence);
  return anchor;
}

Record record_with(std::optional<Anchor> acked, std::optional<Anchor> pending = std::nullopt) {
  Record record;
  record.acked = acked;
  record.pending = pending;
  return record;
}

struct Case {
  const char* name;
  Anchor opened;
  Record record;
  WitnessedHistory history;
  Verdict verdict;
};

const Case kCases[] = {
    // The anchor is the state, or one that it has.
    {"the state itself", at(9), record_with(at(5)), {at(9), {}}, Verdict::kCurrent},
    {"what is acked", at(9), record_with(at(5)), {at(5), {}}, Verdict::kCurrent},
    {"what is pending", at(9), record_with(at(2), at(5)), {at(5), {}}, Verdict::kCurrent},
    {"acked with another pending",
     at(9),
     record_with(at(2), at(5)),
     {at(2), {}},
     Verdict::kCurrent},
    {"the state itself, nothing recorded", at(1), record_with({}), {at(1), {}}, Verdict::kCurrent},

    // Older than the anchor.
    {"older, of the same line", at(4), record_with(at(2)), {at(5), {}}, Verdict::kStale},
    {"older, of another line", at(4, 2), record_with(at(2, 2)), {at(5), {}}, Verdict::kStale},
    {"older, nothing recorded", at(4), record_with({}), {at(5), {}}, Verdict::kStale},

    // As new or newer, and not of the anchor's line.
    {"as new, another state", at(5, 2), record_with(at(2)), {at(5), {}}, Verdict::kForked},
    {"newer, without the anchor",
     at(9, 2),
     record_with(at(2), at(4)),
     {at(5), {}},
     Verdict::kForked},
    {"newer, acked at the same sequence on another line",
     at(9, 2),
     record_with(at(5, 2)),
     {at(5), {}},
     Verdict::kForked},
    {"newer, pending at the same sequence on another line",
     at(9, 2),
     record_with(at(2), at(5, 2)),
     {at(5), {}},
     Verdict::kForked},
    {"newer, the same digest at another sequence",
     at(9),
     record_with(Anchor{3, 6, at(5).digest}),
     {at(5), {}},
     Verdict::kForked},
    {"newer, nothing recorded", at(9), record_with({}), {at(5), {}}, Verdict::kForked},

    // Nothing was witnessed.
    {"no anchor", at(1), record_with({}), {}, Verdict::kUnwitnessed},
    {"no anchor, and a past", at(9), record_with(at(5)), {}, Verdict::kUnwitnessed},

    // An older one may come back.
    {"the allowed state", at(4), record_with(at(2)), {at(9), at(4)}, Verdict::kRestored},
    {"descends from the allowed state",
     at(5, 2),
     record_with(at(4)),
     {at(9), at(4)},
     Verdict::kRestored},
    {"has the allowed state pending",
     at(5, 2),
     record_with({}, at(4)),
     {at(9), at(4)},
     Verdict::kRestored},
    {"current, whatever else is allowed",
     at(9),
     record_with(at(4)),
     {at(9), at(4)},
     Verdict::kCurrent},
    {"older, and not the allowed one", at(3), record_with(at(2)), {at(9), at(4)}, Verdict::kStale},
    {"the allowed state, nothing else witnessed",
     at(4),
     record_with({}),
     {{}, at(4)},
     Verdict::kRestored},
    {"not the allowed state, nothing else witnessed",
     at(5),
     record_with({}),
     {{}, at(4)},
     Verdict::kUnwitnessed},
};

TEST(AcceptanceTest, FollowsItsTable) {
  for (const auto& each : kCases) {
    EXPECT_EQ(judge(each.opened, each.record, each.history), each.verdict) << each.name;
  }
}

TEST(AcceptanceTest, AStateIsTheSameWhoeverNotedIt) {
  auto anchor = at(9);
  anchor.epoch = 77;
  EXPECT_EQ(judge(at(9), record_with({}), {anchor, {}}), Verdict::kCurrent);
}

TEST(AcceptanceTest, WhatWasSentIsPendingUntilItIsAcknowledged) {
  Record record = record_with(at(2));
  record.offline_boots = 3;
  record.receipt = base::copy_of(base::bytes_of("old"));

  note_sent(record, at(5));
  EXPECT_EQ(record.pending, at(5));
  EXPECT_EQ(record.acked, at(2));
  EXPECT_EQ(record.offline_boots, 3U);

  note_acknowledged(record, at(5), base::copy_of(base::bytes_of("new")), 1);
  EXPECT_EQ(record.pending, std::nullopt);
  EXPECT_EQ(record.acked, at(5));
  EXPECT_EQ(record.receipt, base::copy_of(base::bytes_of("new")));
  EXPECT_EQ(record.restores, 1U);
  EXPECT_EQ(record.offline_boots, 0U);
}

}  // namespace
}  // namespace vtpm::boot
