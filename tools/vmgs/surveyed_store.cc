// SPDX-License-Identifier: Apache-2.0
#include "tools/vmgs/surveyed_store.h"

#include <boost/json/array.hpp>
#include <utility>

#include "tools/vmgs/store.h"

namespace tools::vmgs {

namespace inspect = ::vmgs::inspect;
using inspect::BlockUse;

base::Result<SurveyedStore> survey_store(const StoreArguments& arguments) {
  std::optional<::vmgs::volume::DatastoreKey> key;
  if (!arguments.key.empty()) {
    TRY_ASSIGN(read, read_store_key(arguments.key));
    key = std::move(read);
  }
  TRY_ASSIGN(container, open_container(arguments, ::vmgs::storage::Access::kReadOnly));
  auto survey = inspect::survey(*container.device, container.spacing, key ? &*key : nullptr);
  if (!survey) {
    return base::fail(std::move(survey).error().context(arguments.path));
  }
  auto provenance = inspect::tell_provenance(*container.device, *survey);
  return SurveyedStore{std::move(container), *std::move(survey), std::move(provenance),
                       std::move(key)};
}

const inspect::Side* shown_side(const inspect::Survey& survey) {
  if (survey.state() != nullptr) {
    return survey.state();
  }
  for (const auto& side : survey.sides) {
    if (side.generation) {
      return &side;
    }
  }
  return nullptr;
}

base::Result<inspect::Ownership> ownership_of(const inspect::Survey& survey) {
  const auto* shown = shown_side(survey);
  if (shown == nullptr) {
    return base::fail(base::ErrorCode::kCorrupt,
                      "neither header is valid, so nothing says whose a block is: see `vmgs check` "
                      "and `vmgs explain`");
  }
  const auto& other = survey.sides.at(1 - shown->generation->slot());
  return inspect::own(survey.capacity_blocks, *shown, other.generation ? &other : nullptr);
}

boost::json::object to_json(const inspect::Provenance& provenance) {
  boost::json::array reasons;
  for (const auto& reason : provenance.reasons) {
    reasons.emplace_back(reason);
  }
  return {{"origin", inspect::name(provenance.origin)},
          {"authenticated", provenance.authenticated},
          {"reasons", std::move(reasons)}};
}

std::string to_text(const inspect::Provenance& provenance) {
  std::string text = "store       " + std::string(inspect::name(provenance.origin));
  for (std::size_t i = 0; i < provenance.reasons.size(); ++i) {
    text += (i == 0 ? ": " : "\n            ") + provenance.reasons[i];
  }
  return text + "\n";
}

boost::json::object space_json(const inspect::Ownership& ownership) {
  const auto free = ownership.blocks(BlockUse::kFree) + ownership.blocks(BlockUse::kReclaimable);
  return {{"free_blocks", free},
          {"reclaimable_blocks", ownership.blocks(BlockUse::kReclaimable)},
          {"spare_blocks", ownership.blocks(BlockUse::kSpare)},
          {"overlapping_blocks", ownership.blocks(BlockUse::kOverlap)},
          {"largest_hole_blocks", ownership.largest_hole()}};
}

std::string space_text(const inspect::Ownership& ownership) {
  std::uint64_t all = 0;
  for (const auto& extent : ownership.extents) {
    all += extent.blocks;
  }
  const auto reclaimable = ownership.blocks(BlockUse::kReclaimable);
  const auto free = ownership.blocks(BlockUse::kFree) + reclaimable;
  std::string text = std::to_string(all) + " of 4096 bytes, " + std::to_string(free) + " free";
  if (reclaimable != 0) {
    text += " (" + std::to_string(reclaimable) + " of them still hold the generation before)";
  }
  text += ", largest hole " + std::to_string(ownership.largest_hole());
  if (const auto spare = ownership.blocks(BlockUse::kSpare); spare != 0) {
    text += ", " + std::to_string(spare) + " allocated behind the end of files";
  }
  if (const auto overlapping = ownership.blocks(BlockUse::kOverlap); overlapping != 0) {
    text += ", " + std::to_string(overlapping) + " CLAIMED TWICE";
  }
  return text;
}

}  // namespace tools::vmgs
