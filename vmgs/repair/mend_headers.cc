// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <utility>

#include "vmgs/repair/candidates.h"
#include "vmgs/repair/mend.h"
#include "vmgs/volume/headers.h"

namespace vmgs::repair {

namespace {

using format::Header;
using volume::Generation;
using volume::write_header;

constexpr std::uint32_t kUnknownSequence = 2;

// Makes `header` the state in its slot, and the other slot a copy that counts as the commit before.
base::Result<void> write_both(const Case& patient, std::size_t slot, const Header& header) {
  TRY(write_header(patient.device, patient.spacing, slot, header));
  TRY(patient.device.flush());
  auto copy = header;
  copy.sequence -= 1;
  TRY(write_header(patient.device, patient.spacing, 1 - slot, copy));
  return patient.device.flush();
}

// Every place where a header can lie, at either spacing.
constexpr std::array<std::size_t, 3> kHeaderPlaces = {0, 512, 4096};

format::HeaderBytes header_in(format::HeaderArea area, std::size_t place) {
  return area.subspan(place).first<format::kHeaderBytes>();
}

bool follows(const Generation& a, const Generation& b) {
  return a.header().sequence != 0 && b.header().sequence != 0 &&
         format::follows(a.header().sequence, b.header().sequence);
}

// Whether the checksum of the header that leads to `generation` vouches for its sequence.
bool has_proven_sequence(const Generation& generation, format::HeaderArea area) {
  return std::ranges::any_of(kHeaderPlaces, [&](std::size_t place) {
    const auto raw = header_in(area, place);
    const auto header = mended_header(raw);
    return header && header->file_table_block == generation.header().file_table_block &&
           had_sequence(raw, generation.header().sequence);
  });
}

// Whether `a` is known to be newer than `b`. An authenticated counter that both have tells where
// the headers' own sequences say the same: where they contradict it, or are lost, somebody may have
// gone back to an earlier state on purpose. Without such a counter those sequences tell, of
// plaintext states if their checksums vouch for them.
bool is_newer(const Generation& a, const Generation& b, format::HeaderArea area) {
  const auto of_a = commit_sequence(a);
  const auto of_b = commit_sequence(b);
  if (of_a != 0 && of_b != 0 && of_a != of_b) {
    return of_a > of_b && follows(a, b);
  }
  const bool are_sealed = a.header().encrypted && b.header().encrypted;
  return follows(a, b) &&
         (are_sealed || (has_proven_sequence(a, area) && has_proven_sequence(b, area)));
}

// The one that is newer than all others, or the one whose table was asked for.
const Generation* newest_of(const std::vector<Generation>& found, format::HeaderArea area,
                            const Wishes& wishes) {
  for (const auto& one : found) {
    if (wishes.file_table ? one.header().file_table_block == *wishes.file_table
                          : std::all_of(found.begin(), found.end(), [&](const Generation& other) {
                              return &other == &one || is_newer(one, other, area);
                            })) {
      return &one;
    }
  }
  return nullptr;
}

std::string listed(const std::vector<Generation>& found) {
  std::string text;
  for (const auto& generation : found) {
    const auto files =
        std::count_if(generation.table()->entries.begin(), generation.table()->entries.end(),
                      [](const auto& entry) { return entry.has_value(); });
    text += (text.empty() ? "" : ", ") + std::string("block ") +
            std::to_string(generation.header().file_table_block) + " with " +
            std::to_string(files > 2 ? files - 2 : 0) + " files";
  }
  return text;
}

// What the headers say themselves, for whoever has to choose.
std::string hint_of_sequences(const std::vector<Generation>& found) {
  for (const auto& one : found) {
    if (std::ranges::any_of(found, [&](const Generation& other) { return follows(one, other); })) {
      return " (by the headers' sequences, for which nothing vouches, it is block " +
             std::to_string(one.header().file_table_block) + ")";
    }
  }
  return {};
}

// Plaintext states that a damaged header or, failing that, a scan leads to.
base::Result<std::vector<Generation>> sound_generations(const Case& patient,
                                                        format::HeaderArea area) {
  std::vector<Generation> result;
  for (std::size_t slot = 0; slot < 2; ++slot) {
    const auto header = mended_header(format::header_at(area, patient.spacing, slot));
    if (header) {
      TRY_ASSIGN(generation, Generation::read(patient.device, slot, *header));
      if (is_sound(generation)) {
        result.push_back(std::move(generation));
      }
    }
  }
  if (!result.empty()) {
    return result;
  }
  TRY_ASSIGN(tables, tables_found(patient.device));
  for (const auto block : tables) {
    Header header;
    header.file_table_block = block;
    TRY_ASSIGN(generation, Generation::read(patient.device, 0, header));
    if (is_sound(generation)) {
      result.push_back(std::move(generation));
    }
  }
  return result;
}

// The first table that any header speaks of, however damaged it is, which is not among the states
// `found`, nor known to be of one before `chosen`: it may be that of the newest.
std::optional<std::uint32_t> table_not_found(format::HeaderArea area,
                                             const std::vector<Generation>& found,
                                             const std::vector<Generation>& without_table,
                                             const Generation& chosen) {
  for (const auto place : kHeaderPlaces) {
    const auto header = mended_header(header_in(area, place));
    if (!header) {
      continue;
    }
    const auto leads_there = [&header](const Generation& one) {
      return one.header().file_table_block == header->file_table_block;
    };
    const auto is_known_to_be_older = [&](const Generation& one) {
      return leads_there(one) && commit_sequence(one) != 0 && is_newer(chosen, one, area);
    };
    if (std::none_of(found.begin(), found.end(), leads_there) &&
        std::none_of(without_table.begin(), without_table.end(), is_known_to_be_older)) {
      return header->file_table_block;
    }
  }
  return std::nullopt;
}

// Whether the key opens what is left of a header through which it opens no state: the tables that
// were sealed under that one are damaged, and may be those of the newest.
bool has_keys_without_state(const Case& patient, format::HeaderArea area,
                            const std::vector<Generation>& found,
                            const std::vector<Generation>& without_table) {
  return patient.key != nullptr && std::ranges::any_of(kHeaderPlaces, [&](std::size_t place) {
           const auto raw = header_in(area, place);
           const auto opens = [raw](const Generation& one) { return is_opened_by(one, raw); };
           return has_key_slots(raw) && opens_key_slot(raw, *patient.key) &&
                  std::ranges::none_of(found, opens) && std::ranges::none_of(without_table, opens);
         });
}

bool speaks_of_encryption(format::HeaderArea area, format::HeaderSpacing spacing) {
  return has_key_slots(format::header_at(area, spacing, 0)) ||
         has_key_slots(format::header_at(area, spacing, 1));
}

// The first slot whose keys would be lost with it, and the key at hand says nothing about them.
std::optional<std::size_t> sealed_slot(const Case& patient, format::HeaderArea area) {
  for (std::size_t slot = 0; slot < 2; ++slot) {
    const auto raw = format::header_at(area, patient.spacing, slot);
    if (has_key_slots(raw) && (patient.key == nullptr || !opens_key_slot(raw, *patient.key))) {
      return slot;
    }
  }
  return std::nullopt;
}

// Whether the key opens both, all that `a` leads to authenticates, and its commit came after that
// of `b`.
base::Result<bool> is_proven_newer(const Case& patient, Generation& a, Generation& b) {
  if (patient.key == nullptr || !a.header().encrypted || !b.header().encrypted) {
    return false;
  }
  TRY_ASSIGN(of_a, a.unlock(patient.device, *patient.key));
  TRY_ASSIGN(of_b, b.unlock(patient.device, *patient.key));
  return of_a == volume::Unlocking::kOpened && of_b == volume::Unlocking::kOpened &&
         commit_sequence(b) != 0 && commit_sequence(a) > commit_sequence(b) &&
         is_whole(patient.device, a);
}

}  // namespace

Mended mend_spacing(const Case& patient) {
  const auto* const finding = patient.found("wrong-spacing");
  if (finding == nullptr) {
    return std::optional<Outcome>();
  }
  TRY_ASSIGN(bytes, read_area(patient.device));
  const auto area = format::HeaderArea(bytes);
  const auto other = patient.spacing == format::HeaderSpacing::k512 ? format::HeaderSpacing::k4096
                                                                    : format::HeaderSpacing::k512;
  TRY_ASSIGN(header, format::decode_header(format::header_at(area, other, 1)));
  TRY_ASSIGN(generation, Generation::read(patient.device, 1, header));
  const auto first = format::decode_header(format::header_at(area, patient.spacing, 0));
  const auto place = format::header_at(area, patient.spacing, 1);
  // A header of an earlier life of this file may lie there still, and not be worth anything.
  if (mended_header(place) || has_key_slots(place) || !generation.table() ||
      (first && !format::follows(header.sequence, first->sequence) &&
       !format::follows(first->sequence, header.sequence))) {
    return std::optional(
        not_done(finding->code, finding->where,
                 "it does not fit what is left of the other headers, so it may be of an earlier "
                 "life of this file. If nothing else opens, say --sector-size " +
                     std::to_string(format::bytes(other)) + " to look at the store with it"));
  }
  const bool is_newer = first && format::follows(header.sequence, first->sequence);
  bool is_proven = false;
  if (is_newer) {
    TRY_ASSIGN(present, Generation::read(patient.device, 0, *first));
    TRY_ASSIGN(proven, is_proven_newer(patient, generation, present));
    is_proven = proven;
  }
  if (is_newer && !is_proven && !patient.accepts(finding->code)) {
    return std::optional(not_done(finding->code, finding->where,
                                  "it would be the newest state, in place of the one that opens "
                                  "today: say --accept wrong-spacing to take it"));
  }
  TRY(write_header(patient.device, patient.spacing, 1, header));
  TRY(patient.device.flush());
  const base::Bytes nothing(format::kHeaderBytes);
  TRY(patient.device.write(static_cast<std::uint64_t>(other), nothing));
  TRY(patient.device.flush());
  auto outcome = done(finding->code, finding->where,
                      "move header slot 1 to where this container has it, so that the state it "
                      "leads to is seen");
  outcome.anything_changes = is_newer;
  return std::optional(std::move(outcome));
}

Mended mend_lost_headers(const Case& patient) {
  const bool blank = patient.found("blank") != nullptr;
  if (!blank && patient.found("no-valid-header") == nullptr) {
    return std::optional<Outcome>();
  }
  TRY_ASSIGN(area, read_area(patient.device));
  std::vector<Generation> found;
  std::vector<Generation> without_table;
  if (patient.key != nullptr) {
    TRY_ASSIGN(opened, generations_opened(patient.device, *patient.key));
    for (auto& generation : opened) {
      (generation.table() ? found : without_table).push_back(std::move(generation));
    }
  }
  if (found.empty() && speaks_of_encryption(format::HeaderArea(area), patient.spacing)) {
    return std::optional(not_done("no-valid-header", "headers",
                                  patient.key == nullptr
                                      ? "the store is encrypted: with its key (--key) the tables "
                                        "can be told apart and the headers made again"
                                      : "this key opens none of the key slots that are left with "
                                        "any table that is left"));
  }
  if (found.empty()) {
    TRY_ASSIGN(sound, sound_generations(patient, format::HeaderArea(area)));
    found = std::move(sound);
  }
  if (found.empty()) {
    return blank
               ? std::optional<Outcome>()
               : std::optional(not_done("no-valid-header", "headers",
                                        "no file table was found either. `vmgs salvage` looks for "
                                        "what is left"));
  }
  const auto* const chosen = newest_of(found, format::HeaderArea(area), patient.wishes);
  if (chosen == nullptr) {
    return std::optional(not_done("no-valid-header", "headers",
                                  "several file tables were found and nothing proves which is the "
                                  "newest: " +
                                      listed(found) + hint_of_sequences(found) +
                                      ". Look at what `vmgs salvage` gets out of each, then say "
                                      "--table BLOCK"));
  }
  if (blank && !patient.accepts("blank")) {
    return std::optional(not_done("blank", "headers",
                                  "both headers are blank, yet there is a file table (" +
                                      listed(found) +
                                      "): say --accept blank to make its headers again"));
  }
  const auto sealed = sealed_slot(patient, format::HeaderArea(area));
  if (sealed && !patient.accepts("bad-header")) {
    return std::optional(
        not_done("no-valid-header", slot_name(*sealed),
                 "this key does not open what is left of the header: it may be of the newest "
                 "state, under another key. Give that one, or say --accept bad-header to write "
                 "over it and take what this key opens"));
  }
  const auto missing = table_not_found(format::HeaderArea(area), found, without_table, *chosen);
  if (missing && !sealed && !patient.wishes.file_table && !patient.accepts("older-generation")) {
    return std::optional(not_done(
        "older-generation", "headers",
        "a header leads to the file table at block " + std::to_string(*missing) +
            ", which does not open and may be that of the newest state. Look at what `vmgs "
            "salvage` gets out of it, or say --accept older-generation to take the one at block " +
            std::to_string(chosen->header().file_table_block)));
  }
  if (!patient.wishes.file_table && !patient.accepts("older-generation") &&
      has_keys_without_state(patient, format::HeaderArea(area), found, without_table)) {
    return std::optional(not_done(
        "older-generation", "headers",
        "the key opens a key slot that leads to no state that is left: the tables of that one are "
        "damaged, and it may be the newest. Look at what `vmgs salvage` gets out, or say --accept "
        "older-generation to take the one at block " +
            std::to_string(chosen->header().file_table_block)));
  }
  auto header = chosen->header();
  if (header.sequence == 0) {
    header.sequence = kUnknownSequence;
  }
  TRY(write_both(patient, chosen->slot(), header));
  // The generation before may have its header too.
  for (const auto& other : found) {
    if (other.slot() != chosen->slot() && other.header().sequence != 0 &&
        format::follows(header.sequence, other.header().sequence)) {
      TRY(write_header(patient.device, patient.spacing, other.slot(), other.header()));
      TRY(patient.device.flush());
      break;
    }
  }
  return std::optional(done(blank ? "blank" : "no-valid-header", "headers",
                            "make the headers again for the file table at block " +
                                std::to_string(header.file_table_block)));
}

Mended mend_sequence_gap(const Case& patient) {
  if (patient.found("sequence-gap") == nullptr) {
    return std::optional<Outcome>();
  }
  TRY_ASSIGN(slots, volume::read_header_slots(patient.device, patient.spacing));
  std::vector<Generation> usable;
  bool needs_key = false;
  std::optional<std::size_t> sealed;
  std::optional<Generation> damaged;
  for (std::size_t slot = 0; slot < slots.size(); ++slot) {
    if (!slots[slot].header) {
      return std::optional<Outcome>();
    }
    TRY_ASSIGN(generation, Generation::read(patient.device, slot, *slots[slot].header));
    if (!generation.header().encrypted) {
      if (is_sound(generation)) {
        usable.push_back(std::move(generation));
      } else {
        damaged = std::move(generation);
      }
      continue;
    }
    needs_key = patient.key == nullptr;
    if (patient.key != nullptr) {
      TRY_ASSIGN(unlocking, generation.unlock(patient.device, *patient.key));
      if (unlocking == volume::Unlocking::kOpened && generation.table()) {
        usable.push_back(std::move(generation));
      } else if (unlocking == volume::Unlocking::kNoSlotOpens) {
        sealed = slot;
      } else {
        damaged = std::move(generation);
      }
    }
  }
  if (needs_key || usable.empty()) {
    return std::optional(not_done("sequence-gap", "headers",
                                  needs_key ? "with the store's key (--key) the two can be told "
                                              "apart"
                                            : "neither header leads to a state that opens"));
  }
  // What does not open may be the newer all the same, unless its counter says that it is not.
  const Generation* chosen = nullptr;
  if (usable.size() == 1 && damaged && commit_sequence(*damaged) != 0 &&
      commit_sequence(*damaged) < commit_sequence(usable.front())) {
    chosen = &usable.front();
  }
  if (usable.size() == 2 && commit_sequence(usable[0]) != 0 && commit_sequence(usable[1]) != 0 &&
      commit_sequence(usable[0]) != commit_sequence(usable[1])) {
    chosen = &usable[commit_sequence(usable[0]) > commit_sequence(usable[1]) ? 0 : 1];
  }
  for (const auto& generation : usable) {
    if (patient.accepts("slot-" + std::to_string(generation.slot()))) {
      chosen = &generation;
    }
  }
  if (chosen == nullptr && sealed) {
    return std::optional(
        not_done("sequence-gap", "headers",
                 "this key does not open slot " + std::to_string(*sealed) +
                     ", which may be the newer, under another key. Give that one, or say --accept "
                     "slot-" +
                     std::to_string(usable.front().slot()) + " to take what this one opens"));
  }
  if (chosen == nullptr && damaged) {
    return std::optional(
        not_done("sequence-gap", "headers",
                 "the tables that slot " + std::to_string(damaged->slot()) +
                     " leads to are damaged and may be those of the newer state. Look at what "
                     "`vmgs salvage` gets out of them, or say --accept slot-" +
                     std::to_string(usable.front().slot()) + " to take what opens"));
  }
  if (chosen == nullptr) {
    return std::optional(
        not_done("sequence-gap", "headers",
                 "both lead to a state that opens (" + listed(usable) +
                     ") and nothing tells which is the newer. Look at both with "
                     "`vmgs salvage`, then say --accept slot-0 or --accept slot-1"));
  }
  auto copy = chosen->header();
  copy.sequence -= 1;
  TRY(write_header(patient.device, patient.spacing, 1 - chosen->slot(), copy));
  TRY(patient.device.flush());
  return std::optional(done("sequence-gap", "headers",
                            "take the state of slot " + std::to_string(chosen->slot()) +
                                " and make the other slot its copy"));
}

Mended mend_downgrade(const Case& patient) {
  const auto* finding = patient.found("downgrade");
  if (finding == nullptr) {
    finding = patient.found("no-key-slot");
  }
  const auto slots = volume::read_header_slots(patient.device, patient.spacing);
  const auto order = slots ? volume::order_headers(*slots)
                           : base::Result<volume::HeaderOrder>(base::fail(slots.error()));
  if (finding == nullptr || !order) {
    return std::optional<Outcome>();
  }
  const auto& header = *(*slots)[order->newest].header;
  if (patient.key == nullptr) {
    return std::optional(not_done(finding->code, finding->where,
                                  "the store was encrypted: with its key (--key) the header can be "
                                  "made right"));
  }
  TRY_ASSIGN(opened, generations_opened(patient.device, *patient.key));
  for (const auto& generation : opened) {
    if (generation.header().file_table_block == header.file_table_block) {
      auto right = generation.header();
      right.sequence = header.sequence;
      TRY(write_header(patient.device, patient.spacing, order->newest, right));
      TRY(patient.device.flush());
      return std::optional(
          done(finding->code, finding->where,
               "say again that the store is encrypted, under the key slot that the "
               "key opens"));
    }
  }
  return std::optional(not_done(finding->code, finding->where,
                                "the key opens no key slot that fits this file table"));
}

}  // namespace vmgs::repair
