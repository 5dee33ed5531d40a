// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <optional>

#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"
#include "vmgs/base/secret.h"
#include "vmgs/format/ownership.h"
#include "vmgs/format/record.h"
#include "vmgs/format/tpm_state.h"
#include "vmgs/format/vm_id.h"
#include "vmgs/volume/volume.h"
#include "vtpm/engine/nv_store.h"

namespace vtpm::state {

// encode_first_state() is the content of TPM_NVRAM for a TPM that has just been made or has just
// arrived: `blob` is its permanent state, and the store protects it so. Imported is a TPM that
// another program has made or kept.
base::SecretBytes encode_first_state(const vmgs::format::VmId& vm_id,
                                     vmgs::format::SeedProtection protection, base::ByteView blob,
                                     bool imported = false);

// VolumeNvStore keeps the blobs of one VM's TPM as files of its guest-state store: TPM_NVRAM and
// TPM_VOLATILE, each in the envelope of vmgs/format/tpm_state.h. Each store() is one commit.
class VolumeNvStore final : public engine::NvStore {
 public:
  // `volume` is open and unlocked, protects its files so, and outlives this. What it holds for
  // another VM is refused. A `record` rides in the first commit; it costs none of its own.
  VolumeNvStore(vmgs::volume::Volume& volume, const vmgs::format::VmId& vm_id,
                vmgs::format::SeedProtection protection, std::optional<vmgs::format::Record> record,
                vmgs::volume::Barriers barriers = vmgs::volume::Barriers::kOneWhereSafe);

  // carry() has another record ride in the next commit, and commit_record() is a commit for a
  // record that none has carried yet; errors of Volume::commit().
  void carry(const vmgs::format::Record& record);
  base::Result<void> commit_record();

  // An ownership rides in the next commit likewise, and store_ownership() is a commit for it.
  void carry(const vmgs::format::Ownership& ownership);
  base::Result<void> store_ownership(const vmgs::format::Ownership& ownership);

  // kCorrupt for a file that is damaged or no TPM state, kDenied for one of another maker or VM, by
  // name; nothing is changed then. kAuthentication or kIo from the volume.
  base::Result<std::optional<base::SecretBytes>> load(engine::BlobKind kind) override;

  // is_weaker() tells whether the seeds of the permanent state that was loaded last have lived
  // under a stronger protection than this. A state from before that was noted is taken at its word
  // of now.
  [[nodiscard]] bool is_weaker() const { return strongest_ > protection_; }

  // seeds_were_changed() says so of the state that is stored next: its seeds have no past.
  void seeds_were_changed() { strongest_ = protection_; }

  // is_imported() tells whether another program has made or kept the TPM whose permanent state was
  // loaded last. It stays so for good. seeds() is the strongest protection its seeds have lived
  // under. note_past() says both of the TPM that is stored next.
  [[nodiscard]] bool is_imported() const { return imported_; }

  [[nodiscard]] vmgs::format::SeedProtection seeds() const { return strongest_; }

  void note_past(bool imported, vmgs::format::SeedProtection seeds) {
    imported_ = imported;
    strongest_ = std::max(protection_, seeds);
  }

  // Errors of Volume::commit().
  base::Result<void> store(engine::BlobKind kind, base::ByteView blob) override;
  base::Result<void> remove(engine::BlobKind kind) override;

  // store_flash() makes `image` the VM's variable flash, UEFI_FLASH, in a commit like the others.
  // Errors of Volume::commit().
  base::Result<void> store_flash(base::ByteView image);

 private:
  base::Result<void> commit(vmgs::volume::Transaction transaction);

  vmgs::volume::Volume& volume_;
  const vmgs::format::VmId vm_id_;
  const vmgs::format::SeedProtection protection_;
  vmgs::format::SeedProtection strongest_;
  bool imported_ = false;
  const vmgs::volume::Barriers barriers_;
  std::optional<base::Bytes> record_;  // until it is committed
  std::optional<base::Bytes> ownership_;
};

}  // namespace vtpm::state
