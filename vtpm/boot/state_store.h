// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>

#include "vmgs/base/descriptor.h"
#include "vmgs/base/result.h"
#include "vmgs/base/secret.h"
#include "vmgs/format/ownership.h"
#include "vmgs/format/record.h"
#include "vmgs/format/tpm_state.h"
#include "vmgs/format/vm_id.h"
#include "vmgs/storage/container.h"
#include "vmgs/volume/transaction.h"
#include "vmgs/volume/volume.h"
#include "vtpm/boot/protector.h"
#include "vtpm/boot/store_settings.h"
#include "vtpm/boot/witness.h"
#include "vtpm/engine/nv_store.h"
#include "vtpm/state/flash_store.h"
#include "vtpm/state/volume_nv_store.h"

namespace vtpm::boot {

// StateStore is the durable state of one persistent VM, opened for service: file, lock, key, volume
// and the TPM's blobs and the variable flash in it, in the order that a start needs. One owner, one
// thread at a time.
class StateStore final : public engine::NvStore, public state::FlashStore {
 public:
  // open() opens what is there: lock, headers, the key by the protector, the newest whole state,
  // recovery, and a new root key where the mode has it so. The TPM state is read once, so a store
  // without one, or with somebody else's, is refused here. A witness has to admit the state, and
  // says what the record has; none ever admits one that was edited. `protector` and `witness`
  // outlive the store.
  //
  // kNotFound if there is no file, a blank one, or no TPM in it; kUnavailable if another process
  // has it; kDenied where protection, VM or machine are not those it was made for, and for a state
  // edited without the key; kAuthentication for a key that is wrong or missing; kCorrupt; kIo, also
  // for a file that the system does not let us write. Nothing is ever made new here, and
  // nothing is written before the state has been chosen and read.
  static base::Result<std::unique_ptr<StateStore>> open(StoreSettings settings,
                                                        Protector& protector,
                                                        Witness* witness = nullptr);

  // create() makes the store of a new VM around the permanent state of its TPM, and opens it. It
  // gets its name, or on a block device its header, only when all of it is durable, so a crash
  // leaves nothing or a whole store; what a crashed attempt left is removed. kDenied if there is a
  // store already, and then no key was drawn for another.
  static base::Result<std::unique_ptr<StateStore>> create(StoreSettings settings,
                                                          Protector& protector,
                                                          base::ByteView permanent_state,
                                                          Witness* witness = nullptr);

  // What it takes to go on with a store in another process, lock and all.
  struct HandedOver {
    base::Descriptor file;
    std::uint64_t header_sequence = 0;  // of the generation that was committed last
    vmgs::format::VmId vm_id;
    vmgs::format::BootId boot_id{};
  };

  // hand_over() shares the open store. Nothing may be committed here from then on, until it is
  // known whether the other side has taken it. kDenied after a commit that failed.
  [[nodiscard]] base::Result<HandedOver> hand_over() const;

  // abandon() lets go of a store that another process has taken: it is closed there.
  void abandon();

  // take_over() goes on with it, as the same start of the VM. Nothing is written: what is found
  // must be what was committed last, or it is kCorrupt. Else the errors of open().
  static base::Result<std::unique_ptr<StateStore>> take_over(StoreSettings settings,
                                                             Protector& protector,
                                                             HandedOver handed);

  // ownership() is what the store says of who has its TPM. ownership_in() looks into a store that
  // is there, and changes nothing; nothing where there is none. Else the errors of open().
  [[nodiscard]] const vmgs::format::Ownership& ownership() const { return ownership_; }

  static base::Result<std::optional<vmgs::format::Ownership>> ownership_in(
      const StoreSettings& settings, Protector& protector);

  // offer() has the store say, durably, that its TPM leaves for the holder of a ticket. From then
  // on nothing is stored, and no TPM powered on from it. take_back() undoes that by the secret with
  // that digest: kDenied for another. A ticket by which it came, or was given back last, is
  // kDenied. Both else as store().
  base::Result<void> offer(const vmgs::format::TicketId& ticket,
                           const std::array<std::byte, 32>& release_digest);
  base::Result<void> take_back(const base::Secret<32>& secret);

  // leaves_for() is true if offer() to that ticket is durable: after a commit that has failed it
  // is not known to be.
  [[nodiscard]] bool leaves_for(const vmgs::format::TicketId& ticket) const;

  // open_anew_after_failure() has the store say what the disk does, if a commit or flush has failed
  // since it was opened. An offered store stays open so, to be taken back. Errors of open().
  base::Result<void> open_anew_after_failure();

  // vm_id() is whose state this is.
  [[nodiscard]] const vmgs::format::VmId& vm_id() const { return vm_id_; }

  // boot_id() was drawn when this was opened; an encrypted store carries it in RECORD.
  [[nodiscard]] const vmgs::format::BootId& boot_id() const { return boot_id_; }

  // volume() is what is open; not after close().
  [[nodiscard]] const vmgs::volume::Volume& volume() const { return *volume_; }

  // state() is the point in the store's history that is open, and durable: S and D(S). kDenied for
  // a store that is not encrypted.
  [[nodiscard]] base::Result<vmgs::format::Anchor> state() const;

  // carry() has a record ride in the next commit. commit_record() makes that commit, if none has
  // come: as store(), and it opens the store anew after a commit that has failed, as the flash
  // does.
  void carry(const vmgs::format::Record& record);
  base::Result<void> commit_record();

  // load() of the permanent state happens at each power-on. It makes sure that the path still leads
  // to the file that is open, and opens the store anew if a commit or flush has failed since.
  base::Result<std::optional<base::SecretBytes>> load(engine::BlobKind kind) override;

  // is_weaker() tells whether the TPM that was loaded last has seeds that have lived under a
  // stronger protection than the store has: it was taken out of a store and put into another, and
  // whoever did that may know them. seeds_were_changed() says of the state that is stored next that
  // its seeds are new.
  [[nodiscard]] bool is_weaker() const { return weaker_; }

  void seeds_were_changed();

  // seeds() is the strongest protection that they have lived under.
  [[nodiscard]] vmgs::format::SeedProtection seeds() const;

  // is_imported() tells whether another program has made or kept that TPM before us; then others
  // may have its seeds, and no certificate says that only a TEE has them.
  [[nodiscard]] bool is_imported() const { return imported_; }

  // kDenied also where the path no longer leads to the file that is open: what was written there is
  // lost to whoever opens the path next, and must not count as stored.
  base::Result<void> store(engine::BlobKind kind, base::ByteView blob) override;
  base::Result<void> remove(engine::BlobKind kind) override;

  // The variable flash lies in the same store.
  [[nodiscard]] bool is_awaited() const override { return false; }

  base::Result<std::optional<base::SecretBytes>> load_flash() override;
  base::Result<void> store_flash(base::ByteView image) override;

  // close() is an orderly end: it lets go of the file, and every other reader can open it. There is
  // no state here afterwards, and every call but another close() is kDenied. kDenied if another
  // file has taken the path.
  base::Result<void> close();

 private:
  StateStore(StoreSettings settings, Protector& protector, Witness* witness)
      : settings_(std::move(settings)),
        protector_(protector),
        witness_(witness),
        arrival_(settings_.arrival) {}

  base::Result<void> draw_boot_id();

  base::Result<void> open_container();
  base::Result<void> open_in(vmgs::storage::Container container,
                             std::optional<std::uint64_t> expected_header_sequence);
  base::Result<void> find_vm_id();
  base::Result<bool> find_ownership();
  base::Result<void> store_arrival(base::ByteView permanent_state);
  base::Result<std::optional<vmgs::format::Record>> record_of_boot();
  base::Result<void> make(base::ByteView permanent_state);
  base::Result<vmgs::storage::Container> blank_container() const;
  base::Result<void> make_in_place(vmgs::storage::Container container,
                                   Protector::Beginning beginning,
                                   const vmgs::volume::Transaction& first);
  base::Result<void> make_new_file(Protector::Beginning beginning,
                                   const vmgs::volume::Transaction& first);
  base::Result<void> expect_open() const;
  base::Result<void> expect_owned() const;
  base::Result<void> settle(base::Result<void> committed);
  base::Result<void> note_last();
  void let_go();

  const StoreSettings settings_;
  Protector& protector_;
  Witness* const witness_;  // or none
  vmgs::format::VmId vm_id_;
  vmgs::format::BootId boot_id_{};
  std::optional<vmgs::storage::Container> container_;
  std::optional<vmgs::volume::Volume> volume_;
  std::optional<state::VolumeNvStore> blobs_;
  std::optional<vmgs::format::Anchor> last_;  // that was opened or stored, for the witness
  vmgs::format::Ownership ownership_;
  std::optional<Arrival> arrival_;  // until it is stored
  bool weaker_ = false;
  bool imported_ = false;
  bool failed_ = false;  // a commit did
  bool closed_ = false;
};

}  // namespace vtpm::boot
