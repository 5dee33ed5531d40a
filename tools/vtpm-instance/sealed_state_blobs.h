// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <utility>

#include "tools/vtpm-instance/launch_choice.h"
#include "tools/vtpm-instance/setup.h"
#include "tools/vtpm-instance/state_blob_codec.h"
#include "tools/vtpm-instance/tpm_state.h"
#include "vmgs/base/result.h"
#include "vtpm/device/device.h"
#include "vtpm/handover/ticket.h"

namespace tools::vtpm_instance {

// SealedStateBlobs is how a TPM moves between two of our instances, through hypervisors that need
// not be trusted with its state: sealed to the ticket of the instance that awaits it, which takes
// it once. Before any of it leaves, the store here says durably that it is offered to that ticket,
// and nothing is committed here any more. So a migration that is cut off anywhere leaves one store
// at most that starts: the one here before, the one there once the state is durable there, and
// between the two this one again, if release_ticket() says there that it never arrived.
class SealedStateBlobs final : public StateBlobCodec {
 public:
  // A ticket is read from the file `ticket` when the hypervisor asks for the state, and its release
  // is looked for beside it. `claim` is there where a state is awaited. `device` and `state`
  // outlive this.
  SealedStateBlobs(vtpm::device::Device& device, TpmState& state, std::filesystem::path ticket,
                   std::optional<vtpm::handover::Claim> claim)
      : device_(device), state_(state), path_(std::move(ticket)), claim_(std::move(claim)) {}

  // leave() offers the TPM to the ticket. kDenied without one, or if it is offered to another.
  base::Result<void> leave(transport::tpm_socket::StateBlob which) override;

  base::Result<transport::tpm_socket::OutgoingStateBlob> wrap(
      transport::tpm_socket::StateBlob which, base::ByteView state, bool file_key_off) override;

  // unwrap() is kDenied where nothing is awaited any more.
  base::Result<base::SecretBytes> unwrap(transport::tpm_socket::StateBlob which,
                                         base::ByteView blob, bool under_file_key) override;

  [[nodiscard]] transport::tpm_socket::KeysInUse keys_in_use() const override { return {}; }

  // wanted_back() looks `retries` times, 10 ms apart, for the release of what was offered, and goes
  // on with the TPM then. kUnavailable if there is none.
  base::Result<void> wanted_back(std::uint32_t retries) override;

  // powered_on() is called after each successful INIT: what was awaited is durable then.
  void powered_on();

 private:
  base::Result<void> offer(vtpm::boot::StateStore& store, const vtpm::handover::Ticket& ticket);

  vtpm::device::Device& device_;
  TpmState& state_;
  const std::filesystem::path path_;
  std::optional<vtpm::handover::Claim> claim_;
  std::optional<vtpm::handover::Ticket> offered_to_;
  std::uint64_t epoch_ = 0;  // in which it was
};

// release_ticket() gives back, for the host that has offered its TPM to the ticket of `setup`, what
// never arrived in the store of `setup`. Errors of handover::release() and of opening the store.
base::Result<void> release_ticket(const InstanceSetup& setup, const LaunchChoice& choice);

}  // namespace tools::vtpm_instance
