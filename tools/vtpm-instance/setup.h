// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "keybroker/protocol/launch_document.h"
#include "vmgs/base/bytes.h"
#include "vmgs/base/descriptor.h"
#include "vmgs/format/swtpm_key.h"
#include "vmgs/format/uefi_flash.h"
#include "vmgs/volume/datastore_key.h"
#include "vmgs/volume/transaction.h"
#include "vtpm/sealing/host_key.h"
#include "vtpm/sealing/sealed_keys.h"

namespace tools::vtpm_instance {

// Where an instance runs: as a child of the host, which is trusted then, or inside the confidential
// VM, where the hypervisor is not.
enum class Home { kHost, kParavisor };

// Endpoint is a Unix socket to listen on: one that listens already, or a path to make it at when
// the instance is ready for clients. With neither there is none.
struct Endpoint {
  base::Descriptor listening = {};
  std::filesystem::path path = {};
};

// In which form the state of an ordinary VM's TPM leaves and enters through the hypervisor: not at
// all, sealed to who awaits it, or as swtpm has it, which is in the clear or under a migration key.
enum class StateBlobForm { kRefused, kSealed, kPlain };

// InstanceSetup is all that one instance is told: plain data, so that it can come from a command
// line or through a socket.
struct InstanceSetup {
  // The VM's launch document in its one encoding. Without one it is an ordinary VM, with the two
  // choices below; beside one they say nothing.
  base::Bytes launch_document = {};
  keybroker::protocol::Protection protection = keybroker::protocol::Protection::kHost;
  keybroker::protocol::Lifetime lifetime = keybroker::protocol::Lifetime::kPersistent;

  // The store of a persistent VM, and whether it may be made where there is none.
  std::filesystem::path store = {};
  bool may_create = false;

  // The file with the root key, for protection host.
  std::filesystem::path key_file = {};
  vtpm::sealing::KeyFileKind key_file_kind = vtpm::sealing::KeyFileKind::kFile;

  // The root key itself, where whoever starts the VM brings it in place of that file.
  std::shared_ptr<const vmgs::volume::DatastoreKey> given_key = nullptr;

  // How often a commit waits for the disk: two for stores that other readers open after a crash.
  vmgs::volume::Barriers barriers = vmgs::volume::Barriers::kOneWhereSafe;

  // Whether the machine may still be taken back to the TCB that it had, for protection hardware:
  // until its operator says that it is over, the key of a store is sealed to the one before as
  // well.
  vtpm::sealing::TcbGrace tcb_grace = vtpm::sealing::TcbGrace::kRunning;

  // Whoever certifies this VM has no good certificate of its keys on record.
  bool ask_for_certificates = false;

  // The newest receipt of the VM's key broker that whoever starts it has kept; empty if there is
  // none.
  base::Bytes receipt = {};

  // Nobody is served: the store is copied for another launch document of this VM, and that is all.
  struct Conversion {
    base::Bytes launch_document = {};
    std::filesystem::path store = {};
    std::filesystem::path key_file = {};
  };

  std::optional<Conversion> conversion = std::nullopt;

  // Nobody is served: the store of a confidential VM gets a HW_KEY_PROTECTOR for OpenHCL, with this
  // as its vm-configuration, and that is all. The next start in service takes it away again.
  std::optional<std::string> export_for_openhcl = std::nullopt;

  // The TPM's state arrives from another host; nothing is opened or made before it has.
  bool incoming = false;

  // With StateBlobForm::kSealed: the state goes to the instance whose ticket lies there; with
  // `incoming` this instance makes it. With kPlain: if a ticket lies there when the state is to
  // leave, it leaves sealed to that, and no other way.
  std::filesystem::path migration_ticket = {};

  // Nobody is served: what was offered to the ticket and never arrived is given back.
  bool release_ticket = false;

  // Nobody is served: the TPM, if it was offered, is taken back by what lies beside the ticket.
  bool take_back = false;

  // The way to the instance that this one takes the place of, if there is one: then nothing is
  // opened or made, and everything comes from there.
  base::Descriptor predecessor = {};

  // How it travels, and what it is encrypted under as it does, in swtpm's form; null where it is in
  // the clear.
  StateBlobForm state_blobs = StateBlobForm::kRefused;
  std::shared_ptr<const vmgs::format::SwtpmKey> migration_key = nullptr;

  Home home = Home::kHost;

  Endpoint control = {};
  Endpoint data = {};

  // Where the protocol of the reference simulator is spoken on the loopback interface, if anywhere;
  // 0 takes two ports that are free.
  std::optional<std::uint16_t> simulator_port = std::nullopt;

  // Where the hypervisor finds the VM's variable flash, as a block export; and with which image, or
  // else of which size, the flash begins where the store has none.
  Endpoint variables = {};
  std::filesystem::path variables_image = {};
  std::uint64_t variables_bytes = vmgs::format::kDefaultFlashBytes;

  // Whose members may use the flash, besides root and our own user.
  std::optional<gid_t> hypervisor_group = std::nullopt;
};

}  // namespace tools::vtpm_instance
