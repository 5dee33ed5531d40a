// SPDX-License-Identifier: Apache-2.0
#include "tests/crash/store_state.h"

#include <algorithm>

namespace tests::crash {

using vmgs::format::FileId;
using vmgs::volume::DatastoreKey;
using vmgs::volume::Volume;

std::string describe(const MaybeState& state) {
  if (!state) {
    return "no store";
  }
  std::string text = "S=" + std::to_string(state->sequence);
  for (const auto& [id, content] : state->files) {
    text += " " + std::to_string(index(id)) + ":" + std::to_string(content.size()) + "*" +
            (content.empty() ? "-" : base::to_hex(std::span(content).first(1)));
  }
  return text;
}

DatastoreKey key_number(unsigned char number) {
  DatastoreKey key{base::Secret<32>::zero()};
  std::ranges::fill(key.bytes.fill(), std::byte{number});
  return key;
}

base::Result<DatastoreKey> key_from_protector(const vmgs::volume::ProtectorReader& read) {
  const auto protector = read(FileId::kSealedKeys);
  if (!protector || protector->empty()) {
    // Before the first protector is written a store has the key it was formatted with.
    return key_number(1);
  }
  return key_number(std::to_integer<unsigned char>(protector->front()));
}

base::Result<std::optional<Volume>> open_as_instance(vmgs::storage::BlockDevice& device) {
  auto volume = Volume::open(device, vmgs::format::HeaderSpacing::k512);
  if (!volume && volume.error().code == base::ErrorCode::kNotFound) {
    return std::optional<Volume>{};
  }
  if (!volume) {
    return base::fail(std::move(volume).error());
  }
  if (volume->encrypted()) {
    TRY(volume->unlock(key_from_protector));
  }
  TRY(volume->recover());
  return std::optional<Volume>{*std::move(volume)};
}

base::Result<StoreState> state_of(const Volume& volume) {
  StoreState state;
  state.sequence = volume.commit_sequence();
  for (const auto& file : volume.files()) {
    TRY_ASSIGN(content, volume.read(file.id));
    state.files[file.id] = base::copy_of(content.expose());
  }
  return state;
}

}  // namespace tests::crash
