// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

#include "keybroker/protocol/launch_document.h"
#include "vmgs/format/blocks.h"
#include "vmgs/format/vm_id.h"
#include "vmgs/storage/container.h"
#include "vmgs/volume/transaction.h"
#include "vtpm/sealing/host_key.h"
#include "vtpm/sealing/sealed_keys.h"
#include "vtpm/tee/tee.h"

namespace vtpm::boot {

using keybroker::protocol::Protection;

// StoreSettings is where and how a persistent VM's state is kept. For a confidential VM protection
// and VM id come from its verified launch document; nothing here is read from the store itself.
struct StoreSettings {
  std::filesystem::path path;  // a file or a block device

  // The VM whose store this is. Absent for an ordinary VM without a launch document: then the store
  // says which VM it belongs to, and a new one draws an id.
  std::optional<vmgs::format::VmId> vm_id = std::nullopt;

  // kHost, kHardware or kNone. It is never taken down: a store kept otherwise is refused.
  Protection protection = Protection::kHost;

  // kHost: the file with the root key, and who else may read it.
  std::filesystem::path key_file = {};
  sealing::KeyFileKind key_file_kind = sealing::KeyFileKind::kFile;

  // kHardware: the TEE, which outlives the store, and whether the TCB before still opens it.
  tee::Tee* tee = nullptr;
  sealing::TcbGrace tcb_grace = sealing::TcbGrace::kOver;

  // One barrier for a commit where that is safe, or always two (`durability = "strict"`).
  vmgs::volume::Barriers barriers = vmgs::volume::Barriers::kOneWhereSafe;

  // How a new file is made; a block device is taken as it is.
  vmgs::storage::ContainerKind new_kind = vmgs::storage::ContainerKind::kFixedVhd;
  std::uint64_t new_store_bytes = vmgs::format::kDefaultStoreBytes;

  // The sector size that a raw file was formatted with, if it cannot be told.
  std::optional<vmgs::format::HeaderSpacing> spacing = std::nullopt;
};

}  // namespace vtpm::boot
