// SPDX-License-Identifier: Apache-2.0
#include "vmgs/inspect/survey.h"

#include <string>
#include <utility>

#include "vmgs/volume/choice.h"

namespace vmgs::inspect {

namespace {

using format::FileId;
using volume::Generation;

base::Result<void> read_entries(storage::BlockDevice& device, std::uint64_t capacity, Side& side) {
  if (side.table_block() >= capacity) {
    return {};  // which the generation says of itself
  }
  format::Block block{};
  TRY(device.read(std::uint64_t{side.table_block()} * format::kBlockBytes, block));
  for (std::size_t i = 0; i < format::kFileIds; ++i) {
    auto entry = format::decode_file_entry(block, static_cast<FileId>(i), capacity);
    if (entry) {
      side.entries.at(i) = *std::move(entry);
    } else {
      ++side.bad_entries;
    }
  }
  return {};
}

base::Result<Side> read_side(storage::BlockDevice& device, std::uint64_t capacity, std::size_t slot,
                             volume::HeaderSlot header) {
  Side side{std::move(header), std::nullopt, {}, 0};
  if (side.header.header) {
    TRY_ASSIGN(generation, Generation::read(device, slot, *side.header.header));
    side.generation = std::move(generation);
    TRY(read_entries(device, capacity, side));
  }
  return side;
}

// Opens a generation that nobody depends on; that it does not open is no news.
base::Result<void> open_beside(storage::BlockDevice& device, Side& side,
                               const volume::DatastoreKey& key) {
  if (side.generation && side.generation->header().encrypted && !side.generation->unlocked()) {
    const auto unlocking = side.generation->unlock(device, key);
    if (!unlocking && unlocking.error().code == base::ErrorCode::kIo) {
      return base::fail(unlocking.error());
    }
  }
  return {};
}

base::Result<void> open_with(storage::BlockDevice& device, const volume::DatastoreKey& key,
                             Survey& survey) {
  auto& newest = *survey.sides.at(*survey.newest).generation;
  auto* older = survey.older ? &*survey.sides.at(*survey.older).generation : nullptr;
  if (!newest.header().encrypted) {
    survey.key = KeyFit::kNotEncrypted;
    return {};
  }
  auto choice = volume::choose(device, newest, older, volume::fixed_key(key.clone()));
  if (choice) {
    survey.key = KeyFit::kOpens;
    survey.fell_back = choice->fell_back;
    survey.edited_without_key = choice->edited_without_key;
    survey.failing_files = std::move(choice->failing_files);
    survey.findings = std::move(choice->findings);
    if (choice->fell_back) {
      survey.state_slot = survey.older;
    }
    return open_beside(device, survey.sides.at(1 - *survey.state_slot), key);
  }
  if (choice.error().code == base::ErrorCode::kIo) {
    return base::fail(std::move(choice).error());
  }
  survey.key = KeyFit::kUnusable;
  if (choice.error().code == base::ErrorCode::kAuthentication) {
    TRY_ASSIGN(unlocking, newest.unlock(device, key));
    survey.key = unlocking == volume::Unlocking::kNoSlotOpens ? KeyFit::kWrong : KeyFit::kStale;
  }
  survey.key_error = std::move(choice).error();
  newest.lock();
  return {};
}

// Two headers of which neither is known to be newer.
base::Result<void> open_each(storage::BlockDevice& device, const volume::DatastoreKey& key,
                             Survey& survey) {
  bool any = false;
  bool encrypted = false;
  for (auto& side : survey.sides) {
    TRY(open_beside(device, side, key));
    any = any || (side.generation && side.generation->unlocked());
    encrypted = encrypted || (side.generation && side.generation->header().encrypted);
  }
  if (any) {
    survey.key = KeyFit::kOpens;
  } else if (encrypted) {
    survey.key = KeyFit::kWrong;
  } else {
    const bool is_there = survey.sides[0].generation || survey.sides[1].generation;
    survey.key = is_there ? KeyFit::kNotEncrypted : KeyFit::kUnusable;
  }
  return {};
}

}  // namespace

std::string_view name(KeyFit fit) {
  switch (fit) {
    case KeyFit::kNone:
      return "none";
    case KeyFit::kNotEncrypted:
      return "not-encrypted";
    case KeyFit::kOpens:
      return "opens";
    case KeyFit::kWrong:
      return "wrong";
    case KeyFit::kStale:
      return "stale";
    case KeyFit::kUnusable:
      return "unusable";
  }
  return {};
}

base::Result<Survey> survey(storage::BlockDevice& device, format::HeaderSpacing spacing,
                            const volume::DatastoreKey* key) {
  TRY_ASSIGN(slots, volume::read_header_slots(device, spacing));
  Survey result;
  result.capacity_blocks = format::capacity_blocks(device.size_bytes());
  const auto order = volume::order_headers(slots);
  for (std::size_t slot = 0; slot < slots.size(); ++slot) {
    TRY_ASSIGN(side, read_side(device, result.capacity_blocks, slot, std::move(slots.at(slot))));
    result.sides.at(slot) = std::move(side);
  }
  if (!order) {
    result.disorder = order.error();
    if (key != nullptr) {
      TRY(open_each(device, *key, result));
    }
    return result;
  }
  result.newest = order->newest;
  result.older = order->older;
  result.state_slot = order->newest;
  if (key != nullptr) {
    TRY(open_with(device, *key, result));
  }
  const auto& state = *result.state()->generation;
  if (!state.unlocked() && state.table()) {
    result.failing_files = state.failing_files(device);
  }
  return result;
}

}  // namespace vmgs::inspect
