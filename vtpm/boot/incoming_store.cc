// SPDX-License-Identifier: Apache-2.0
#include "vtpm/boot/incoming_store.h"

#include <filesystem>

namespace vtpm::boot {

using engine::BlobKind;

base::Result<std::optional<base::SecretBytes>> IncomingStore::load(BlobKind kind) {
  if (!store_) {
    return std::optional<base::SecretBytes>{};
  }
  return store_->load(kind);
}

base::Result<void> IncomingStore::store(BlobKind kind, base::ByteView blob) {
  if (store_) {
    return store_->store(kind, blob);
  }
  if (kind != BlobKind::kPermanent) {
    return base::fail(base::ErrorCode::kDenied, "the permanent state has to arrive first");
  }
  if (may_create_ && !std::filesystem::exists(settings_.path)) {
    TRY_ASSIGN(made, StateStore::create(settings_, blob));
    store_ = std::move(made);
    return {};
  }
  TRY_ASSIGN(opened, StateStore::open(settings_));
  store_ = std::move(opened);
  return store_->store(kind, blob);
}

base::Result<void> IncomingStore::remove(BlobKind kind) {
  return store_ ? store_->remove(kind) : base::Result<void>();
}

}  // namespace vtpm::boot
