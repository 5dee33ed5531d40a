// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>

#include "tools/swtpm/state_place.h"
#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"
#include "vmgs/base/secret.h"
#include "vmgs/crypto/digest.h"
#include "vmgs/format/swtpm_key.h"
#include "vtpm/boot/protector.h"
#include "vtpm/boot/state_store.h"
#include "vtpm/boot/swtpm_lock.h"
#include "vtpm/engine/nv_store.h"

namespace tools::swtpm {

// DropInStore keeps a TPM's state as swtpm's users expect it: nothing is opened, locked or made
// before the first power-on or the first state that arrives; where there is nothing, a new TPM is
// made; what swtpm left is taken over. While it has the TPM of a folder it holds swtpm's lock on
// it, too. A store whose file is removed meanwhile is made anew with the next permanent state, as
// swtpm does. Any thread.
class DropInStore final : public vtpm::engine::NvStore {
 public:
  // prepare() makes the TPM that a place without one will need, and stores nothing. No Engine may
  // live in this process. `key` is swtpm's file key, or null, and outlives the store.
  static base::Result<std::unique_ptr<DropInStore>> prepare(StatePlace place,
                                                            const vmgs::format::SwtpmKey* key);

  base::Result<std::optional<base::SecretBytes>> load(vtpm::engine::BlobKind kind) override;
  base::Result<void> store(vtpm::engine::BlobKind kind, base::ByteView blob) override;
  base::Result<void> remove(vtpm::engine::BlobKind kind) override;

  // release() lets go of the store, so that another may have the TPM. It is taken again by
  // take_again(), or by the next change of state. Harmless where nothing is open.
  base::Result<void> release();

  // take_again() takes it where it is not held, and tries that often more, 10 ms apart.
  // kUnavailable if another has it; kDenied if another had it meanwhile and used the TPM: this one
  // is of the past then. Harmless where it is held, or was never opened.
  base::Result<void> take_again(std::uint32_t retries);

  // reserve() takes swtpm's lock on the folder ahead of the first power-on: state is arriving.
  // kUnavailable if another has it; kIo.
  base::Result<void> reserve();

  [[nodiscard]] bool released() const { return released_; }

  // close() is an orderly end.
  base::Result<void> close();

 private:
  DropInStore(StatePlace place, const vmgs::format::SwtpmKey* key,
              std::unique_ptr<vtpm::boot::Protector> protector)
      : place_(std::move(place)), key_(key), protector_(std::move(protector)) {}

  [[nodiscard]] vtpm::boot::StoreSettings settings() const;
  base::Result<void> lock_folder();
  base::Result<void> open_place();
  base::Result<void> open_store();
  base::Result<void> store_where_none_is_open(base::ByteView permanent);
  base::Result<void> make_store(base::ByteView permanent);
  base::Result<void> put_aside_what_is_swtpms();
  [[nodiscard]] bool was_removed() const;
  base::Result<void> expect_accessible() const;
  base::Result<void> take(std::uint32_t retries);

  const StatePlace place_;
  const vmgs::format::SwtpmKey* const key_;
  const std::unique_ptr<vtpm::boot::Protector> protector_;

  std::mutex busy_;  // guards what follows
  std::optional<base::SecretBytes> new_tpm_;
  bool imported_ = false;  // of a store that is to be made anew
  std::optional<vtpm::boot::SwtpmLock> folder_lock_;
  std::unique_ptr<vtpm::boot::StateStore> store_;
  std::optional<vmgs::crypto::Sha256Digest> before_release_;  // of the permanent state
  std::atomic<bool> released_ = false;
  bool closed_ = false;
};

}  // namespace tools::swtpm
