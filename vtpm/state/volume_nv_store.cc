// SPDX-License-Identifier: Apache-2.0
#include "vtpm/state/volume_nv_store.h"

#include <algorithm>
#include <string>
#include <utility>

#include "vmgs/format/file_id.h"
#include "vmgs/format/tpm_state.h"
#include "vtpm/engine/engine.h"

namespace vtpm::state {

using engine::BlobKind;
using vmgs::format::FileId;
using vmgs::format::TpmStateKind;
using vmgs::volume::Transaction;

namespace {

FileId file_of(BlobKind kind) {
  return kind == BlobKind::kPermanent ? FileId::kTpmNvram : FileId::kTpmVolatile;
}

TpmStateKind kind_of(BlobKind kind) {
  return kind == BlobKind::kPermanent ? TpmStateKind::kPermanent : TpmStateKind::kVolatile;
}

base::SecretBytes encode(BlobKind kind, const vmgs::format::VmId& vm_id,
                         vmgs::format::SeedProtection protection, bool imported,
                         base::ByteView blob) {
  return vmgs::format::encode_tpm_state({.kind = kind_of(kind),
                                         .libtpms_version = engine::Engine::library_version(),
                                         .vm_id = vm_id,
                                         .blob = blob,
                                         .seed_protection = protection,
                                         .imported = imported});
}

}  // namespace

base::SecretBytes encode_first_state(const vmgs::format::VmId& vm_id,
                                     vmgs::format::SeedProtection protection, base::ByteView blob,
                                     bool imported) {
  return encode(BlobKind::kPermanent, vm_id, protection, imported, blob);
}

VolumeNvStore::VolumeNvStore(vmgs::volume::Volume& volume, const vmgs::format::VmId& vm_id,
                             vmgs::format::SeedProtection protection,
                             std::optional<vmgs::format::Record> record,
                             vmgs::volume::Barriers barriers)
    : volume_(volume),
      vm_id_(vm_id),
      protection_(protection),
      strongest_(protection),
      barriers_(barriers) {
  if (record) {
    record_ = vmgs::format::encode_record(*record);
  }
}

void VolumeNvStore::carry(const vmgs::format::Record& record) {
  record_ = vmgs::format::encode_record(record);
}

void VolumeNvStore::carry(const vmgs::format::Ownership& ownership) {
  ownership_ = vmgs::format::encode_ownership(ownership);
}

base::Result<void> VolumeNvStore::store_ownership(const vmgs::format::Ownership& ownership) {
  carry(ownership);
  return commit(Transaction(vmgs::volume::Sequence::kAdvance, barriers_));
}

base::Result<void> VolumeNvStore::commit_record() {
  return record_ ? commit(Transaction(vmgs::volume::Sequence::kAdvance, barriers_))
                 : base::Result<void>();
}

base::Result<std::optional<base::SecretBytes>> VolumeNvStore::load(BlobKind kind) {
  const auto file = file_of(kind);
  if (!volume_.contains(file)) {
    return std::optional<base::SecretBytes>();
  }
  TRY_ASSIGN(content, volume_.read(file));
  const auto state = vmgs::format::decode_tpm_state(content.expose());
  if (!state) {
    return base::fail(base::Error(state.error()).context(vmgs::format::describe(file)));
  }
  if (state->kind != kind_of(kind)) {
    return base::fail(base::ErrorCode::kCorrupt,
                      vmgs::format::describe(file) + ": this is the other half of a TPM state");
  }
  if (state->vm_id != vm_id_) {
    return base::fail(base::ErrorCode::kDenied, vmgs::format::describe(file) +
                                                    ": this is the TPM of VM " +
                                                    to_string(state->vm_id) + ", not of VM " +
                                                    to_string(vm_id_) + "; it was left as it is");
  }
  if (kind == BlobKind::kPermanent) {
    strongest_ = std::max(protection_, state->seed_protection);
    imported_ = state->imported;
  }
  base::SecretBytes blob(state->blob.size());
  std::copy(state->blob.begin(), state->blob.end(), blob.fill().begin());
  return std::optional<base::SecretBytes>(std::move(blob));
}

base::Result<void> VolumeNvStore::store(BlobKind kind, base::ByteView blob) {
  const auto content = encode(kind, vm_id_, strongest_, imported_, blob);
  Transaction transaction(vmgs::volume::Sequence::kAdvance, barriers_);
  transaction.put(file_of(kind), content.expose());
  if (kind == BlobKind::kPermanent) {
    transaction.remove(FileId::kTpmVolatile);
  }
  return commit(std::move(transaction));
}

base::Result<void> VolumeNvStore::remove(BlobKind kind) {
  if (!volume_.contains(file_of(kind))) {
    return {};
  }
  Transaction transaction(vmgs::volume::Sequence::kAdvance, barriers_);
  transaction.remove(file_of(kind));
  return commit(std::move(transaction));
}

base::Result<void> VolumeNvStore::store_flash(base::ByteView image) {
  Transaction transaction(vmgs::volume::Sequence::kAdvance, barriers_);
  transaction.put(FileId::kUefiFlash, image);
  return commit(std::move(transaction));
}

base::Result<void> VolumeNvStore::commit(Transaction transaction) {
  if (record_) {
    transaction.put(FileId::kRecord, *record_);
  }
  if (ownership_) {
    transaction.put(vmgs::format::kOwnershipFile, *ownership_);
  }
  TRY(volume_.commit(transaction));
  record_.reset();
  ownership_.reset();
  return {};
}

}  // namespace vtpm::state
