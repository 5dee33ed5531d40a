// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <utility>

#include "tools/vtpm-instance/launch_choice.h"
#include "tools/vtpm-instance/setup.h"
#include "tools/vtpm-instance/state_blob_codec.h"
#include "tools/vtpm-instance/supervisor.h"
#include "tools/vtpm-instance/tpm_state.h"
#include "vmgs/base/result.h"
#include "vtpm/device/device.h"
#include "vtpm/handover/sealed_state.h"
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
  struct Parts {
    vtpm::device::Device& device;
    TpmState& state;

    // Read when the hypervisor asks for the state, and removed when the TPM is offered to it; its
    // release is looked for beside it.
    std::filesystem::path ticket;

    // Where the state is stored.
    std::filesystem::path store;

    // How the state leaves where no ticket lies, and comes where none is awaited; or null.
    StateBlobCodec* otherwise = nullptr;

    // Called when migration() is another, with what became of the TPM's being elsewhere.
    std::function<void()> moved = [] {};
  };

  // `claim` is there where a state is awaited. The parts outlive this.
  SealedStateBlobs(Parts parts, std::optional<vtpm::handover::Claim> claim)
      : parts_(std::move(parts)), claim_(std::move(claim)) {}

  // migration() is where the TPM is.
  [[nodiscard]] Migration migration() const;

  // leave() offers the TPM to the ticket, if there is one, and succeeds only when that is durable.
  // kDenied without one where it leaves in no other way, for a ticket of another VM or one that is
  // used up, and if it is offered to another.
  base::Result<void> leave(transport::tpm_socket::StateBlob which) override;

  base::Result<transport::tpm_socket::OutgoingStateBlob> wrap(
      transport::tpm_socket::StateBlob which, base::ByteView state, bool file_key_off) override;

  // unwrap() is kDenied where nothing is awaited any more, for another VM's state, and for a
  // volatile half that does not belong to the permanent one, which comes first.
  base::Result<base::SecretBytes> unwrap(transport::tpm_socket::StateBlob which,
                                         base::ByteView blob, bool under_file_key) override;

  [[nodiscard]] transport::tpm_socket::KeysInUse keys_in_use() const override;

  // wanted_back() looks `retries` times but for 3 seconds at most, 10 ms apart, for the release of
  // what was offered, and goes on with the TPM then. kUnavailable if there is none that fits.
  base::Result<void> wanted_back(std::uint32_t retries) override;

  // powered_on() is called after each successful INIT: what was awaited is durable then.
  void powered_on();

 private:
  [[nodiscard]] bool leaves() const;
  base::Result<void> offer(vtpm::boot::StateStore& store, vtpm::handover::Ticket ticket);
  base::Result<void> expect(const vtpm::handover::SealedHalf& half);
  base::Result<void> look_for_release(vtpm::boot::StateStore& store);

  const Parts parts_;
  std::optional<vtpm::handover::Claim> claim_;
  std::optional<vtpm::handover::Ticket> offered_to_;  // durably
  vtpm::handover::SealedHalf half_;                   // of what leaves, or arrives
  bool left_ = false;                                 // or may have
};

// release_ticket() gives back, for the host that has offered its TPM to the ticket of `setup`, what
// never arrived in the store of `setup`. Errors of handover::release() and of opening the store.
base::Result<void> release_ticket(const InstanceSetup& setup, const LaunchChoice& choice);

}  // namespace tools::vtpm_instance
