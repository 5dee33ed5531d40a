// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>

#include "vmgs/base/bytes.h"
#include "vmgs/base/descriptor.h"
#include "vmgs/base/result.h"
#include "vmgs/format/vm_id.h"

namespace vtpm::host {

using vmgs::format::VmId;

// StateFolder knows where everything of this host's VMs lies:
//   STATE/registry.db        which VMs there are
//   STATE/lock               held by the vtpmd that owns the folder
//   STATE/authority/         the AK certificate authority: its CAs, and what they issued
//   STATE/vms/ID/vm.vmgs     a VM's store; vm-1.vmgs, ... after a conversion that made another
//   STATE/vms/ID/vm.key      the host's key for it, with protection "host"; vm-1.key, ... likewise
//   STATE/vms/ID/variables   the image that its UEFI variables begin with, if it was made with one
//   STATE/vms/ID/ticket      of a migration: of the host that awaits the TPM, which may be this
//                            one; ticket.claim, ticket.released*, ticket.returned.* and
//                            vm.vmgs.arriving belong to it (handover/ticket.h)
//   STATE/vms/ID/receipt      the newest receipt of its key broker
//   STATE/vms/ID/lease       held by the VM's instance for as long as it lives
//   RUNTIME/vms/ID/tpm.sock.ctrl   where its hypervisor connects
//   RUNTIME/vms/ID/door            where its instance listens for the next vtpmd
//   RUNTIME/vms/ID/tpm.sock        for programs that speak TPM commands (tcti-swtpm wants this
//   pair)
//   RUNTIME/vms/ID/vars.sock       its UEFI variables, for its hypervisor
// The state outlives a reboot, the runtime folder need not.
class StateFolder {
 public:
  static constexpr std::size_t kMaxReceiptBytes = std::size_t{16} * 1024;
  static constexpr std::size_t kMaxTicketBytes = 512;

  // What gives back what was offered to one ticket has one length: magic, version, id of the
  // ticket, secret (handover/ticket.h). That of several is one after the other.
  static constexpr std::size_t kReleaseBytes = 56;
  static constexpr std::size_t kMaxReleasesBytes = 1024 * kReleaseBytes;

  StateFolder(std::filesystem::path state, std::filesystem::path runtime);

  // Lock is the claim to both folders, for as long as it lives.
  struct Lock {
    base::Descriptor state;
    base::Descriptor runtime;
  };

  // lock() makes both folders and claims them for this process. The state is for its owner only;
  // through the runtime folder others reach the sockets that let them in. kInvalidArgument, before
  // anything is made, if the runtime folder's name is too long for sockets; kDenied if a folder is
  // there and is somebody else's, or others may write there; kUnavailable if another vtpmd has one
  // of them; kIo.
  [[nodiscard]] base::Result<Lock> lock() const;

  [[nodiscard]] std::filesystem::path registry() const { return state_ / "registry.db"; }

  [[nodiscard]] std::filesystem::path authority() const { return state_ / "authority"; }

  // A VM has one store, but for a conversion: the registry says which of them counts.
  [[nodiscard]] std::filesystem::path store(const VmId& id, std::uint32_t number = 0) const;
  [[nodiscard]] std::filesystem::path key(const VmId& id, std::uint32_t number = 0) const;

  [[nodiscard]] std::filesystem::path lease(const VmId& id) const { return vm(id) / "lease"; }

  [[nodiscard]] std::filesystem::path control_socket(const VmId& id) const {
    return sockets(id) / "tpm.sock.ctrl";
  }

  [[nodiscard]] std::filesystem::path data_socket(const VmId& id) const {
    return sockets(id) / "tpm.sock";
  }

  [[nodiscard]] std::filesystem::path variables_socket(const VmId& id) const {
    return sockets(id) / "vars.sock";
  }

  [[nodiscard]] std::filesystem::path door(const VmId& id) const { return sockets(id) / "door"; }

  // prepare() makes the folders of a VM; those that are there stay as they are. kIo.
  [[nodiscard]] base::Result<void> prepare(const VmId& id) const;

  // remove() removes them and all they hold, and syncs; but what gives back what may still be
  // offered to a ticket that was made here stays, until the VM is here again. Nothing there is a
  // success. kIo.
  [[nodiscard]] base::Result<void> remove(const VmId& id) const;

  // keep_variables() has this be the image that the VM's UEFI variables begin with, durably; empty,
  // there is none. The folders are prepared. kIo.
  [[nodiscard]] base::Result<void> keep_variables(const VmId& id, base::ByteView image) const;

  // variables() is where it lies, and nothing if there is none. has_variables() compares it.
  [[nodiscard]] std::optional<std::filesystem::path> variables(const VmId& id) const;
  [[nodiscard]] base::Result<bool> has_variables(const VmId& id, base::ByteView image) const;

  // keep_receipt() has this be the VM's newest receipt, durably, in place of an older one: whatever
  // happens, one of the two is there. kInvalidArgument if it has more than kMaxReceiptBytes; kIo.
  [[nodiscard]] base::Result<void> keep_receipt(const VmId& id, base::ByteView receipt) const;

  // receipt() gives it, empty if none is kept. kIo.
  [[nodiscard]] base::Result<base::Bytes> receipt(const VmId& id) const;

  // ticket() is where the ticket of a migration lies, if there is one.
  [[nodiscard]] std::filesystem::path ticket(const VmId& id) const { return vm(id) / "ticket"; }

  // keep_ticket() has this be the ticket, durably; empty, there is none. read_ticket() is empty if
  // there is none. kInvalidArgument for what cannot be one; kIo.
  [[nodiscard]] base::Result<void> keep_ticket(const VmId& id, base::ByteView ticket) const;
  [[nodiscard]] base::Result<base::Bytes> read_ticket(const VmId& id) const;

  // read_releases() is all that gives back what was offered to the tickets that were made here, the
  // newest first; empty if there is nothing. kIo.
  [[nodiscard]] base::Result<base::Bytes> read_releases(const VmId& id) const;

  // keep_returned() keeps, durably, what read_releases() gave at the host that awaited the TPM, for
  // the instance here, and removes the ticket if that is of it. kInvalidArgument for what cannot be
  // that, and then nothing is kept; kIo.
  [[nodiscard]] base::Result<void> keep_returned(const VmId& id, base::ByteView releases) const;

  // has_claim() tells whether a ticket was made here that something may still be offered to.
  [[nodiscard]] bool has_claim(const VmId& id) const;

  // has_store() looks for a VM's store. kIo if that cannot be told.
  [[nodiscard]] base::Result<bool> has_store(const VmId& id, std::uint32_t number = 0) const;

  // remove_stores_but() removes the stores and keys of a VM that have none of these numbers, half
  // made ones too, and syncs. No other file is touched, whatever its name begins with. Nobody may
  // be making one. kIo.
  [[nodiscard]] base::Result<void> remove_stores_but(const VmId& id,
                                                     std::span<const std::uint32_t> kept) const;

 private:
  [[nodiscard]] std::filesystem::path vm(const VmId& id) const;
  [[nodiscard]] std::filesystem::path receipt_file(const VmId& id) const;
  [[nodiscard]] std::filesystem::path variables_file(const VmId& id) const;
  [[nodiscard]] std::filesystem::path sockets(const VmId& id) const;

  std::filesystem::path state_;
  std::filesystem::path runtime_;
};

}  // namespace vtpm::host
