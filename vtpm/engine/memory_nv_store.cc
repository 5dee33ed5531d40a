// SPDX-License-Identifier: Apache-2.0
#include "vtpm/engine/memory_nv_store.h"

#include <algorithm>

namespace vtpm::engine {

namespace {

base::SecretBytes secret_copy_of(base::ByteView bytes) {
  base::SecretBytes secret(bytes.size());
  std::copy(bytes.begin(), bytes.end(), secret.fill().begin());
  return secret;
}

}  // namespace

std::optional<base::SecretBytes>& MemoryNvStore::slot(BlobKind kind) {
  return kind == BlobKind::kPermanent ? permanent_ : volatile_;
}

base::Result<std::optional<base::SecretBytes>> MemoryNvStore::load(BlobKind kind) {
  const auto& stored = slot(kind);
  if (!stored) {
    return std::optional<base::SecretBytes>();
  }
  return std::optional<base::SecretBytes>(secret_copy_of(stored->expose()));
}

base::Result<void> MemoryNvStore::store(BlobKind kind, base::ByteView blob) {
  slot(kind) = secret_copy_of(blob);
  if (kind == BlobKind::kPermanent) {
    volatile_.reset();
  }
  return {};
}

base::Result<void> MemoryNvStore::remove(BlobKind kind) {
  slot(kind).reset();
  return {};
}

}  // namespace vtpm::engine
