// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "keybroker/protocol/launch_document.h"
#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"
#include "vmgs/format/vm_id.h"
#include "vmgs/volume/datastore_key.h"
#include "vmgs/volume/transaction.h"
#include "vmgs/volume/volume.h"
#include "vtpm/sealing/host_key.h"
#include "vtpm/sealing/sealed_keys.h"
#include "vtpm/tee/tee.h"

namespace vtpm::boot {

// Protector keeps the root key of one store, in one mode of protection. The mode is chosen by
// whoever made the VM; a store that is kept otherwise is refused, and no failure ever leads from
// one mode to another. One owner, no lock.
class Protector {
 public:
  virtual ~Protector() = default;

  [[nodiscard]] virtual keybroker::protocol::Protection mode() const = 0;

  // expect_fits() is kDenied for a store that is kept in another mode.
  [[nodiscard]] virtual base::Result<void> expect_fits(
      const vmgs::volume::Volume& volume) const = 0;

  // unlock() opens a store that fits. kAuthentication if the key is not there, is not fit to be one
  // or does not open the store, and never kNotFound, which would say that there is no store; the
  // errors of Volume::unlock() and of the TEE.
  virtual base::Result<void> unlock(vmgs::volume::Volume& volume) = 0;

  // rotate() gives an unlocked store a new key where the mode has it so, and commits `transaction`
  // with it. False, and nothing is committed, where the key stays.
  virtual base::Result<bool> rotate(vmgs::volume::Volume& volume,
                                    vmgs::volume::Transaction transaction) = 0;

  // What a new store begins with.
  struct Beginning {
    std::optional<vmgs::volume::DatastoreKey> key = std::nullopt;  // none: it is not encrypted
    std::optional<base::Bytes> sealed_keys = std::nullopt;         // SEALED_KEYS, if it has any
    std::optional<base::Bytes> key_protector = std::nullopt;       // KEY_PROTECTOR likewise
  };

  // make() draws the key of a new store. What it takes to find it again is durable when it returns,
  // or is in the result.
  virtual base::Result<Beginning> make() = 0;

  // opened_by() says, for people, what opens the store.
  [[nodiscard]] virtual std::string opened_by() const = 0;
};

// Protection none: the store is plaintext.
std::unique_ptr<Protector> no_protector();

// Protection host: the root key is in a file of the host, which make() makes or, if an earlier
// attempt got that far, reads. It stays the same.
std::unique_ptr<Protector> host_key_protector(std::filesystem::path key_file,
                                              sealing::KeyFileKind kind);

// Protection host: the root key is one that whoever starts the VM brings each time, as hosts do
// that give swtpm a key. It is kept nowhere.
std::unique_ptr<Protector> given_key_protector(vmgs::volume::DatastoreKey key);

// Protection hardware: the root key is in the store's SEALED_KEYS, which only this VM on this
// machine opens, and lives for one boot. `tee` outlives the protector. With
// `openhcl_vm_configuration` rotate() commits a HW_KEY_PROTECTOR for the new key as well
// (sealing::export_hw_key_protector()); without, it removes what is there, whose key is of the
// past.
std::unique_ptr<Protector> sealed_keys_protector(
    tee::Tee& tee, const vmgs::format::VmId& vm_id, sealing::TcbGrace grace,
    std::optional<std::string> openhcl_vm_configuration = std::nullopt);

}  // namespace vtpm::boot
