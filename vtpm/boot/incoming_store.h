// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <utility>

#include "vtpm/boot/protector.h"
#include "vtpm/boot/state_store.h"
#include "vtpm/boot/store_settings.h"
#include "vtpm/engine/nv_store.h"
#include "vtpm/state/flash_store.h"

namespace vtpm::boot {

// arriving_marker() is where it is noted that the store is still to be made around a state that
// arrives, so that a store which is not there can be told from one that was taken away.
std::filesystem::path arriving_marker(const std::filesystem::path& store);

// IncomingStore waits for the state of a TPM that runs elsewhere: it opens nothing and makes
// nothing until that state arrives (SET_STATEBLOB, INIT), since the source may still own the store,
// or there is none here yet. Then it is a StateStore.
class IncomingStore final : public engine::NvStore, public state::FlashStore {
 public:
  // `may_create` says that a store which is not there is made around the state that arrives.
  // `protector` outlives this.
  IncomingStore(StoreSettings settings, Protector& protector, bool may_create)
      : settings_(std::move(settings)),
        configured_vm_id_(settings_.vm_id),
        protector_(protector),
        may_create_(may_create) {}

  // Nothing as long as nothing has arrived.
  base::Result<std::optional<base::SecretBytes>> load(engine::BlobKind kind) override;

  // The first permanent state opens or makes the store; of one that is made there is no marker any
  // more. Errors of StateStore.
  base::Result<void> store(engine::BlobKind kind, base::ByteView blob) override;
  base::Result<void> remove(engine::BlobKind kind) override;

  // The variable flash is awaited with the TPM's state.
  [[nodiscard]] bool is_awaited() const override { return !store_ && !closed_; }

  base::Result<std::optional<base::SecretBytes>> load_flash() override;
  base::Result<void> store_flash(base::ByteView image) override;

  // arrives_by() says whose state it is that comes, and how; a store that is made is that VM's, and
  // one that is there has to be. kDenied where another VM's is awaited.
  base::Result<void> arrives_by(const vmgs::format::VmId& vm_id, const Arrival& arrival);

  // opened() is the store once the state has arrived, or null.
  [[nodiscard]] StateStore* opened() { return store_.get(); }

  // close() is that of StateStore; what has not arrived is not waited for any more.
  base::Result<void> close();

 private:
  base::Result<void> expect_open() const;

  StoreSettings settings_;
  const std::optional<vmgs::format::VmId> configured_vm_id_;
  Protector& protector_;
  const bool may_create_;
  std::unique_ptr<StateStore> store_;
  bool closed_ = false;
};

}  // namespace vtpm::boot
