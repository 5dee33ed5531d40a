// SPDX-License-Identifier: Apache-2.0
#include "vmgs/inspect/provenance.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "vmgs/format/tpm_state.h"

namespace vmgs::inspect {

namespace {

using format::FileId;
using volume::Generation;

constexpr std::array kOurIds = {FileId::kSealedKeys, FileId::kRecord, FileId::kTpmVolatile,
                                FileId::kUefiFlash};

bool contains(const Side& side, FileId id) {
  return side.entries.at(format::index(id)).has_value();
}

std::optional<base::SecretBytes> content(storage::BlockDevice& device, const Side& side,
                                         FileId id) {
  if (!side.generation->table()) {
    return std::nullopt;
  }
  auto read = side.generation->read_file(device, id);
  return read ? std::optional(*std::move(read)) : std::nullopt;
}

// The TEE of the newest entry of SEALED_KEYS that a simulator made.
std::optional<format::TeeType> simulated_tee(storage::BlockDevice& device, const Side& side) {
  const auto file = content(device, side, FileId::kSealedKeys);
  const auto entries = file ? format::decode_sealed_keys(file->expose())
                            : base::Result<std::vector<format::SealedKey>>();
  for (const auto& entry : entries.value_or(std::vector<format::SealedKey>())) {
    if (format::is_simulated(entry.tee_type)) {
      return entry.tee_type;
    }
  }
  return std::nullopt;
}

// The files by which a store of ours is known, as words.
std::string our_files(storage::BlockDevice& device, const Side& side) {
  std::string list;
  const auto add = [&](FileId id) { list += (list.empty() ? "" : ", ") + format::describe(id); };
  const auto tpm = content(device, side, FileId::kTpmNvram);
  if (tpm && format::recognise_tpm_state(tpm->expose()) == format::TpmStateForm::kOurs) {
    add(FileId::kTpmNvram);
  }
  for (const auto id : kOurIds) {
    if (contains(side, id)) {
      add(id);
    }
  }
  return list;
}

bool has_content(const Side& side) {
  for (std::size_t i = 0; i < side.entries.size(); ++i) {
    if (format::is_content(static_cast<FileId>(i)) && side.entries.at(i)) {
      return true;
    }
  }
  return false;
}

Provenance of_unlocked(const Survey& survey, const std::string& ours) {
  const auto& generation = *survey.state()->generation;
  const auto info = generation.commit_info();
  const bool whole = generation.file_table_digest_holds() && !survey.edited_without_key;
  if (info && !whole) {
    return {Origin::kEdited,
            true,
            {"somebody without the key changed what is in plaintext: the sealed table keeps a "
             "digest of it that does not hold any more"}};
  }
  if (info && info->sequence == 0) {
    return {Origin::kEdited,
            true,
            {"a tool made or changed the content: the sealed table has our mark and no commit "
             "sequence"}};
  }
  if (info) {
    return {Origin::kOurs,
            true,
            {"the sealed table has our mark, commit sequence " + std::to_string(info->sequence) +
             ", and its digests hold"}};
  }
  if (!ours.empty()) {
    return {Origin::kEdited,
            true,
            {"it holds files of ours (" + ours +
             "), but another maker's program wrote it last: our mark in the sealed table is gone"}};
  }
  return {Origin::kForeign,
          true,
          {"the sealed table has no mark of ours, and no file of ours is in it"}};
}

Provenance of_locked(const Side& side, const std::string& ours) {
  Provenance result;
  if (!ours.empty()) {
    result.reasons.push_back("it looks like ours, by " + ours +
                             ", but it is encrypted and locked, and anybody can write those");
  } else if (contains(side, FileId::kHwKeyProtector) || contains(side, FileId::kKeyProtector) ||
             contains(side, FileId::kProvisioningMarker)) {
    result.reasons.emplace_back(
        "it is encrypted and locked. Its plaintext files are those of OpenHCL and the tools of "
        "Hyper-V, which ours imports too");
  } else {
    result.reasons.emplace_back("it is encrypted and locked, and no plaintext file speaks of it");
  }
  result.reasons.emplace_back(
      "its key (--key) would tell: it opens the sealed table, where our commits leave a mark");
  return result;
}

Provenance of_plaintext(const Side& side, const std::string& ours) {
  const std::string caution = "nothing in a plaintext store proves who wrote it last";
  if (!ours.empty()) {
    return {Origin::kOurs, false, {"it holds files of ours (" + ours + ")", caution}};
  }
  if (has_content(side)) {
    return {Origin::kForeign, false, {"no file of ours is in it", caution}};
  }
  return {Origin::kUnknown, false, {"it holds no file, so nothing tells who made it"}};
}

}  // namespace

std::string_view name(Origin origin) {
  switch (origin) {
    case Origin::kOurs:
      return "ours";
    case Origin::kEdited:
      return "edited";
    case Origin::kForeign:
      return "foreign";
    case Origin::kSimulated:
      return "simulated";
    case Origin::kUnknown:
      return "unknown";
  }
  return {};
}

Provenance tell_provenance(storage::BlockDevice& device, const Survey& survey) {
  const auto* state = survey.state();
  if (state == nullptr) {
    return {Origin::kUnknown, false, {"no header tells which state is the newest"}};
  }
  const auto ours = our_files(device, *state);
  auto result = survey.unlocked()    ? of_unlocked(survey, ours)
                : survey.encrypted() ? of_locked(*state, ours)
                                     : of_plaintext(*state, ours);
  if (const auto tee = simulated_tee(device, *state)) {
    result.origin = Origin::kSimulated;
    result.reasons.insert(result.reasons.begin(),
                          format::describe(FileId::kSealedKeys) + " was sealed by " +
                              std::string(format::name(*tee)) +
                              ": its key is no secret, and production refuses what it vouches for");
  }
  return result;
}

}  // namespace vmgs::inspect
