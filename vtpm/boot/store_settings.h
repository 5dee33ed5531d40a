// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>

#include "vmgs/base/result.h"
#include "vmgs/base/secret.h"
#include "vmgs/format/blocks.h"
#include "vmgs/format/ownership.h"
#include "vmgs/format/record.h"
#include "vmgs/format/tpm_state.h"
#include "vmgs/format/vm_id.h"
#include "vmgs/storage/container.h"
#include "vmgs/volume/transaction.h"

namespace vtpm::boot {

// Arrival is how a TPM that was another host's comes to a store.
struct Arrival {
  vmgs::format::Ownership ownership;  // of the store, in the commit that has the TPM's state

  // What the store there said of its seeds.
  vmgs::format::SeedProtection seeds = vmgs::format::SeedProtection::kUnknown;
  bool imported = false;
};

// StoreSettings is where a persistent VM's state is kept, and how a new store is made.
struct StoreSettings {
  std::filesystem::path path;  // a file or a block device

  // The VM whose store this is. Absent for an ordinary VM without a launch document: then the store
  // says which VM it belongs to, and a new one draws an id.
  std::optional<vmgs::format::VmId> vm_id = std::nullopt;

  // What this start is known by; drawn where it is absent.
  std::optional<vmgs::format::BootId> boot_id = std::nullopt;

  // One barrier for a commit where that is safe, or always two (`durability = "strict"`).
  vmgs::volume::Barriers barriers = vmgs::volume::Barriers::kOneWhereSafe;

  // How the state that is stored first came here from another host, if it did. A store that is
  // there already must have been given away before that.
  std::optional<Arrival> arrival = std::nullopt;

  // Looks for what gives back a TPM that was offered to a ticket of another host; kNotFound if
  // there is nothing.
  std::function<base::Result<base::Secret<32>>(const vmgs::format::TicketId&)> release_of = nullptr;

  // How a new file is made; a block device is taken as it is.
  vmgs::storage::ContainerKind new_kind = vmgs::storage::ContainerKind::kFixedVhd;
  std::uint64_t new_store_bytes = vmgs::format::kDefaultStoreBytes;

  // Whether the TPM of a new store is one that another program has made or kept. The store says so
  // from then on.
  bool imported = false;

  // The sector size that a raw file was formatted with, if it cannot be told.
  std::optional<vmgs::format::HeaderSpacing> spacing = std::nullopt;
};

}  // namespace vtpm::boot
