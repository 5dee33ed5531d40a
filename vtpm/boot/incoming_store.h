// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <utility>

#include "vtpm/boot/state_store.h"
#include "vtpm/boot/store_settings.h"
#include "vtpm/engine/nv_store.h"

namespace vtpm::boot {

// IncomingStore waits for the state of a TPM that runs elsewhere: it opens nothing and makes
// nothing until that state arrives (SET_STATEBLOB, INIT), since the source may still own the store,
// or there is none here yet. Then it is a StateStore.
class IncomingStore final : public engine::NvStore {
 public:
  // `may_create` says that a store which is not there is made around the state that arrives.
  IncomingStore(StoreSettings settings, bool may_create)
      : settings_(std::move(settings)), may_create_(may_create) {}

  // arrived() is the store once there is one.
  [[nodiscard]] StateStore* arrived() const { return store_.get(); }

  // Nothing as long as nothing has arrived.
  base::Result<std::optional<base::SecretBytes>> load(engine::BlobKind kind) override;

  // The first permanent state opens or makes the store. Errors of StateStore.
  base::Result<void> store(engine::BlobKind kind, base::ByteView blob) override;
  base::Result<void> remove(engine::BlobKind kind) override;

 private:
  StoreSettings settings_;
  bool may_create_;
  std::unique_ptr<StateStore> store_;
};

}  // namespace vtpm::boot
