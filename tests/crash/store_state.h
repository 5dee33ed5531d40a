// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"
#include "vmgs/format/file_id.h"
#include "vmgs/storage/block_device.h"
#include "vmgs/volume/volume.h"

namespace tests::crash {

// StoreState is a store as its user sees it: every file and the commit sequence.
struct StoreState {
  std::map<vmgs::format::FileId, base::Bytes> files;
  std::uint64_t sequence = 0;

  friend bool operator==(const StoreState&, const StoreState&) = default;
};

// What a store may be found to hold: a state, or nothing at all (blank, before its first format
// was done).
using MaybeState = std::optional<StoreState>;

// describe() is a short text for a failure message.
std::string describe(const MaybeState& state);

// The protector of these tests is a plaintext SEALED_KEYS file whose first byte names the key; so a
// key change and its protector have to arrive together, as with real hardware.
vmgs::volume::DatastoreKey key_number(unsigned char number);
base::Result<vmgs::volume::DatastoreKey> key_from_protector(
    const vmgs::volume::ProtectorReader& read);

// open_as_instance() does what an instance does before it serves: open, unlock, recover. Nothing
// for a blank store.
base::Result<std::optional<vmgs::volume::Volume>> open_as_instance(
    vmgs::storage::BlockDevice& device);

// state_of() reads everything.
base::Result<StoreState> state_of(const vmgs::volume::Volume& volume);

}  // namespace tests::crash
