// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <vector>

#include "keybroker/protocol/succession.pb.h"
#include "vmgs/base/descriptor.h"
#include "vmgs/base/result.h"
#include "vmgs/base/secret.h"
#include "vmgs/format/record.h"
#include "vmgs/format/vm_id.h"
#include "vtpm/boot/state_store.h"
#include "vtpm/device/device.h"
#include "vtpm/handover/parcel.h"

namespace vtpm::handover {

// A control connection between two requests.
struct ControlClient {
  base::Descriptor socket;
  bool owns_data_channel = false;
  std::uint64_t padding_owed = 0;
  base::SecretBytes unused;
};

// A data channel between two commands.
struct DataChannel {
  base::Descriptor socket;
  bool passed = false;
  base::SecretBytes part;
};

// A client of the variable flash between two answers.
struct FlashClient {
  base::Descriptor socket;
  base::SecretBytes unused;
  base::SecretBytes unsent;
};

// Estate is everything that an instance has and its successor needs, while nobody uses it.
struct Estate {
  std::chrono::steady_clock::time_point stopped_at;
  device::Running tpm;

  // Whose TPM it is, and which start of it goes on.
  vmgs::format::VmId vm_id;
  vmgs::format::BootId boot_id{};

  // Of a persistent VM; of an ephemeral one what its memory holds for the next power cycle.
  std::optional<boot::StateStore::HandedOver> store;
  base::SecretBytes memory_permanent;
  base::SecretBytes memory_volatile;
  base::SecretBytes memory_flash;

  strongroom::instance::v1::Attestation attestation;
  base::SecretBytes index_password;

  std::vector<ControlClient> control_clients;
  std::vector<DataChannel> data_channels;
  std::optional<FlashClient> flash_client;
  base::Descriptor decision;  // hand_over.h
  base::Descriptor lease;
  base::Descriptor door;
};

// pack() makes a parcel of it, which owns descriptors of the estate, so that it is used up.
Parcel pack(Estate estate);

// unpack() reads what pack() has made. kCorrupt for anything else; kUnavailable for an estate of a
// later version.
base::Result<Estate> unpack(Parcel parcel);

}  // namespace vtpm::handover
