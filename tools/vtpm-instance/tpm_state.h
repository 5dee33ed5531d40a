// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "keybroker/protocol/readiness.h"
#include "tools/vtpm-instance/launch_choice.h"
#include "tools/vtpm-instance/setup.h"
#include "vmgs/base/result.h"
#include "vmgs/format/ownership.h"
#include "vmgs/format/record.h"
#include "vmgs/format/vm_id.h"
#include "vtpm/boot/broker_boot.h"
#include "vtpm/boot/state_store.h"
#include "vtpm/engine/nv_store.h"
#include "vtpm/handover/estate.h"
#include "vtpm/provision/provision.h"
#include "vtpm/state/flash_store.h"

namespace tools::vtpm_instance {

// TpmState is where the TPM of one instance keeps its state, by the lifetime of its VM: in memory,
// in a store that was opened or made, or in one that is opened or made when the state arrives.
class TpmState {
 public:
  virtual ~TpmState() = default;

  // open() leaves the TPM's state ready to be powered on, unless it is still to arrive, with its
  // AK certified if `certifier` is there and does so. With protection broker `broker` is there and
  // says by trouble() why this fails, where it knows; the boot anchor is there when this succeeds.
  // No engine may be alive. `choice` and `broker` must outlive it.
  static base::Result<std::unique_ptr<TpmState>> open(const InstanceSetup& setup,
                                                      const LaunchChoice& choice,
                                                      vtpm::provision::Certifier* certifier,
                                                      vtpm::boot::BrokerBoot* broker);

  // take_over() goes on with the state of an instance that has given it away; nothing is written.
  // kDenied for a confidential VM.
  static base::Result<std::unique_ptr<TpmState>> take_over(const InstanceSetup& setup,
                                                           const LaunchChoice& choice,
                                                           vtpm::handover::Estate& estate);

  // ownership_in_store() looks into the store of `setup`, which nobody has open; nothing where
  // there is none. Errors of StateStore::open().
  static base::Result<std::optional<vmgs::format::Ownership>> ownership_in_store(
      const InstanceSetup& setup, const LaunchChoice& choice);

  // take_back() has the TPM of the store of `setup`, which nobody has open, be this host's again,
  // if it was offered, by what lies beside the ticket. kDenied where nothing there does; errors of
  // StateStore::open().
  static base::Result<void> take_back(const InstanceSetup& setup, const LaunchChoice& choice);

  // store() is the store of a persistent VM's TPM, or null as long as there is none. arrives_by()
  // says whose a state is that is awaited, and how it comes here; errors of IncomingStore.
  virtual vtpm::boot::StateStore* store() { return nullptr; }

  virtual base::Result<void> arrives_by(const vmgs::format::VmId&, const vtpm::boot::Arrival&) {
    return base::fail(base::ErrorCode::kDenied, "no TPM is awaited here");
  }

  // hand_over() puts into an estate what another instance needs of this. Nothing may be stored here
  // from then on, until it is known who goes on. kDenied where nothing may leave; kUnavailable
  // where there is nothing yet.
  virtual base::Result<void> hand_over(vtpm::handover::Estate& estate) = 0;

  // abandon() lets go of what another instance has taken over.
  virtual void abandon() = 0;

  virtual vtpm::engine::NvStore& nv_store() = 0;

  // flash_store() is where the VM's variable flash is kept beside its TPM; null if nothing is kept.
  virtual vtpm::state::FlashStore* flash_store() = 0;

  // provisioned() is the TPM with what its clients look for, or why that could not be seen to. The
  // TPM works either way.
  virtual base::Result<vtpm::provision::Provisioned>& provisioned() = 0;

  // identity() is whose TPM it is and which start this is, for its claims.
  struct Identity {
    vmgs::format::VmId vm_id;
    vmgs::format::BootId boot_id{};
    bool imported = false;  // another program made or kept it before us
  };

  [[nodiscard]] virtual const Identity& identity() const = 0;

  // created() is true if the TPM was made just now.
  [[nodiscard]] virtual bool created() const = 0;

  // opened_by() says, for people, what opened it.
  [[nodiscard]] virtual std::string opened_by() const = 0;

  // close_store() has the state durable and lets go of it. close() is that, if it has not been yet,
  // and then tells whoever witnesses the VM's state of its end, for which it may wait some seconds.
  // Harmless when repeated.
  virtual base::Result<void> close_store() { return close(); }

  virtual base::Result<void> close() = 0;
};

// readiness_of() names what keeps a TPM from attesting, with the reason for people; ready if
// nothing does.
struct AttestationReadiness {
  keybroker::protocol::Readiness readiness = keybroker::protocol::Readiness::kReady;
  std::string reason;
};

AttestationReadiness readiness_of(const base::Result<vtpm::provision::Provisioned>& provisioned);

// readiness_of_uncertified() is that of a TPM whose AK has no certificate, and why: ready where
// none is given to VMs of this kind.
AttestationReadiness readiness_of_uncertified(const base::Error& error);

// readiness_of() names, for operators, why open() failed or the TPM does not start.
keybroker::protocol::Readiness readiness_of(const base::Error& error, const LaunchChoice& choice);

}  // namespace tools::vtpm_instance
