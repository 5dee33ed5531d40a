// SPDX-License-Identifier: Apache-2.0
#include "vtpm/provision/deferring_store.h"

namespace vtpm::provision {

using engine::BlobKind;

base::Result<std::optional<base::SecretBytes>> DeferringStore::load(BlobKind kind) {
  if (kind == BlobKind::kPermanent) {
    stored_ = false;  // a power-on begins with this
  }
  return store_.load(kind);
}

base::Result<void> DeferringStore::store(BlobKind kind, base::ByteView blob) {
  if (kind == BlobKind::kPermanent && (holding_ || (deferring_ && stored_))) {
    return {};
  }
  TRY(store_.store(kind, blob));
  stored_ = stored_ || kind == BlobKind::kPermanent;
  return {};
}

base::Result<void> DeferringStore::remove(BlobKind kind) { return store_.remove(kind); }

}  // namespace vtpm::provision
