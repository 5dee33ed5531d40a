// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <utility>

#include "vmgs/repair/candidates.h"
#include "vmgs/repair/mend.h"
#include "vmgs/volume/headers.h"

namespace vmgs::repair {

namespace {

using format::Header;
using volume::Generation;
using volume::write_header;

// What the damaged header leads to, beside what the valid one does.
struct Rivals {
  Generation damaged;
  Generation present;
  volume::Unlocking damaged_opens = volume::Unlocking::kNoSlotOpens;
};

base::Result<volume::Unlocking> unlock(const Case& patient, Generation& generation) {
  if (patient.key == nullptr || !generation.header().encrypted) {
    return volume::Unlocking::kNoSlotOpens;
  }
  return generation.unlock(patient.device, *patient.key);
}

base::Result<Rivals> rivals(const Case& patient, std::size_t bad, const Header& mended,
                            const Header& valid) {
  TRY_ASSIGN(damaged, Generation::read(patient.device, bad, mended));
  TRY_ASSIGN(present, Generation::read(patient.device, 1 - bad, valid));
  TRY_ASSIGN(damaged_opens, unlock(patient, damaged));
  TRY(unlock(patient, present));
  return Rivals{std::move(damaged), std::move(present), damaged_opens};
}

enum class Age { kOlder, kNewer, kUnknown };

// Two sealed commit sequences tell, unless somebody went back to an earlier state since.
Age sealed_age(const Rivals& rivals) {
  const auto of_damaged = commit_sequence(rivals.damaged);
  const auto of_present = commit_sequence(rivals.present);
  if (of_damaged == 0 || of_present == 0 || of_damaged == of_present) {
    return Age::kUnknown;
  }
  return of_damaged < of_present ? Age::kOlder : Age::kNewer;
}

// What is proven of the damaged header's age. A checksum that fits proves that it is the older; its
// sequence as it lies proves nothing, but that the sealed counters are not the whole truth.
Age proven_age(const Rivals& rivals, format::HeaderBytes raw, const Header& valid) {
  const auto sealed = sealed_age(rivals);
  if (had_sequence(raw, valid.sequence - 1)) {
    return sealed == Age::kNewer ? Age::kUnknown : Age::kOlder;
  }
  if (had_sequence(raw, valid.sequence + 1)) {
    return sealed == Age::kNewer ? Age::kNewer : Age::kUnknown;
  }
  const auto mended = rivals.damaged.header().sequence;
  const bool contradicts = sealed == Age::kOlder ? format::follows(mended, valid.sequence)
                                                 : format::follows(valid.sequence, mended);
  return contradicts ? Age::kUnknown : sealed;
}

// Whether writing over the damaged slot would take keys away that the valid header does not have.
bool has_keys_of_its_own(format::HeaderBytes raw, const Header& valid) {
  const auto damaged = base::load<format::HeaderLayout>(raw);
  const auto kept = format::encode_header(valid);
  return has_key_slots(raw) &&
         !std::ranges::equal(base::view(damaged.key_slots), base::view(kept.key_slots));
}

Mended mend_as(const Case& patient, std::size_t bad, Header header, const Header& valid,
               Outcome outcome) {
  // Its own sequence is not to be believed: its checksum did not vouch for it.
  header.sequence = valid.sequence + 1;
  TRY(write_header(patient.device, patient.spacing, bad, header));
  TRY(patient.device.flush());
  outcome.anything_changes = true;
  return std::optional(std::move(outcome));
}

// Nothing if the damaged header is of no use and a copy of the valid one may take its place.
Mended mend_with(const Case& patient, std::size_t bad, format::HeaderBytes raw,
                 const Header& mended, const Header& valid) {
  const auto where = slot_name(bad);
  TRY_ASSIGN(both, rivals(patient, bad, mended, valid));
  const auto age = proven_age(both, raw, valid);
  if (!both.damaged.table() || (!mended.encrypted && !is_sound(both.damaged))) {
    if (age == Age::kOlder || patient.accepts("bad-header")) {
      return std::optional<Outcome>();
    }
    return std::optional(not_done("bad-header", where,
                                  "the damaged header may be the one of the newest state, and the "
                                  "file table that it leads to is damaged too. Look at what `vmgs "
                                  "salvage` gets out of it, or say --accept bad-header to stay "
                                  "with the state that opens today"));
  }
  if (age == Age::kOlder) {
    auto header = mended;
    header.sequence = valid.sequence - 1;
    TRY(write_header(patient.device, patient.spacing, bad, header));
    TRY(patient.device.flush());
    return std::optional(done("bad-header", where,
                              "mend the header of the commit before the newest, whose tables are "
                              "still there"));
  }
  if (mended.encrypted) {
    const bool opens =
        both.damaged_opens == volume::Unlocking::kOpened && is_whole(patient.device, both.damaged);
    if (opens && age == Age::kNewer) {
      return mend_as(patient, bad, mended, valid,
                     done("bad-header", where,
                          "mend the header of the newest commit: with the key, all that it leads "
                          "to authenticates"));
    }
    if (patient.accepts("bad-header")) {
      return std::optional<Outcome>();
    }
    if (!opens) {
      return std::optional(
          not_done("bad-header", where,
                   "the damaged header may be the one of the newest state" +
                       std::string(patient.key == nullptr
                                       ? ". Only the store's key can tell: give it with --key"
                                       : ", and this key does not open all that it leads to. "
                                         "Only the key it is sealed under can tell") +
                       ", or say --accept bad-header to stay with the state that opens today"));
    }
  } else if (patient.accepts("bad-header")) {
    return std::optional<Outcome>();
  }
  if (!patient.accepts("newer-header")) {
    return std::optional(not_done(
        "newer-header", where,
        "nothing proves that the damaged header is the older, so it may lead to the "
        "newer state. Say --accept newer-header to take that one, or --accept bad-header to "
        "stay with the state that opens today"));
  }
  return mend_as(patient, bad, mended, valid,
                 done("newer-header", where, "mend this header and take what it leads to"));
}

// What the keys of a damaged header lead to, where nothing else of it is left.
struct Rival {
  Header header;
  std::uint64_t sequence = 0;          // its sealed counter
  std::uint64_t present_sequence = 0;  // that of what opens today
};

// The state with the most commits that those keys open and that is whole. Nothing if there is none.
base::Result<std::optional<Rival>> rival_by_its_keys(const Case& patient, format::HeaderBytes raw,
                                                     const Header& valid) {
  TRY_ASSIGN(present, Generation::read(patient.device, 0, valid));
  TRY(unlock(patient, present));
  TRY_ASSIGN(opened, generations_opened(patient.device, *patient.key));
  std::optional<Rival> rival;
  for (const auto& generation : opened) {
    const auto sequence = commit_sequence(generation);
    if (is_opened_by(generation, raw) && (!rival || sequence > rival->sequence) &&
        is_whole(patient.device, generation)) {
      rival = Rival{generation.header(), sequence, commit_sequence(present)};
    }
  }
  const auto left = base::load<format::HeaderLayout>(raw);
  for (std::size_t i = 0; rival && i < left.key_slots.size(); ++i) {
    auto& slot = rival->header.key_slots[i];
    if (!slot && !base::is_all_zero(left.key_slots[i].wrapped_key)) {
      slot = format::KeySlot{left.key_slots[i].nonce, left.key_slots[i].tag,
                             left.key_slots[i].wrapped_key};
    }
  }
  return rival;
}

// A damaged slot with keys of its own, and no more of it left than those. However the sealed
// counters compare, somebody may have gone back from one state to the other, and a tool's edit has
// no counter: so a person decides. Nothing if that is to stay with what opens today.
Mended mend_by_its_keys(const Case& patient, std::size_t bad, format::HeaderBytes raw,
                        const Header& valid) {
  if (patient.accepts("bad-header")) {
    return std::optional<Outcome>();
  }
  constexpr std::string_view kStay =
      "--accept bad-header to write over it and stay with the state that opens today";
  const bool opens = patient.key != nullptr && opens_key_slot(raw, *patient.key);
  std::optional<Rival> rival;
  if (opens) {
    TRY_ASSIGN(found, rival_by_its_keys(patient, raw, valid));
    rival = std::move(found);
  }
  if (!rival) {
    return std::optional(not_done(
        "bad-header", slot_name(bad),
        std::string("there are keys in the damaged header, which may be the one of the newest "
                    "state. ") +
            (patient.key == nullptr ? "Only the store's key can tell: give it with --key"
             : opens                ? "Nothing in this store tells"
                                    : "This key does not open them: give the one that does") +
            ", or say " + std::string(kStay)));
  }
  if (patient.accepts("newer-header")) {
    return mend_as(patient, bad, rival->header, valid,
                   done("newer-header", slot_name(bad),
                        "make this header again: with the key, all that it leads to "
                        "authenticates"));
  }
  return std::optional(not_done(
      "newer-header", slot_name(bad),
      "the keys in the damaged header lead to another whole state, of commit " +
          std::to_string(rival->sequence) + " where the one that opens today is of commit " +
          std::to_string(rival->present_sequence) +
          ". That does not tell which is the newest: an edit by a tool counts as 0, and `vmgs "
          "previous restore` goes back to a lower one. Say --accept newer-header to take it, or " +
          std::string(kStay)));
}

}  // namespace

Mended mend_lone_header(const Case& patient) {
  const auto slots = volume::read_header_slots(patient.device, patient.spacing);
  const auto order = slots ? volume::order_headers(*slots)
                           : base::Result<volume::HeaderOrder>(base::fail(slots.error()));
  if (!order || order->older) {
    return std::optional<Outcome>();
  }
  const auto bad = 1 - order->newest;
  const auto& valid = *(*slots)[order->newest].header;
  if ((*slots)[bad].blank && valid.sequence == 1) {
    return std::optional<Outcome>();
  }
  TRY_ASSIGN(area, read_area(patient.device));
  const auto raw = format::header_at(format::HeaderArea(area), patient.spacing, bad);
  const auto mended = mended_header(raw);
  if (mended && mended->file_table_block != valid.file_table_block) {
    TRY_ASSIGN(outcome, mend_with(patient, bad, raw, *mended, valid));
    if (outcome) {
      return std::optional(std::move(outcome));
    }
  }
  if (has_keys_of_its_own(raw, valid)) {
    TRY_ASSIGN(outcome, mend_by_its_keys(patient, bad, raw, valid));
    if (outcome) {
      return std::optional(std::move(outcome));
    }
  }
  auto copy = valid;
  copy.sequence -= 1;
  TRY(write_header(patient.device, patient.spacing, bad, copy));
  TRY(patient.device.flush());
  return std::optional(done("bad-header", slot_name(bad),
                            "fill it with a copy of slot " + std::to_string(order->newest) +
                                ", so that one bad sector does not take the store away"));
}

}  // namespace vmgs::repair
