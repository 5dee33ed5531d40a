// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <utility>

#include "vtpm/engine/memory_nv_store.h"

namespace tests::support {

// FakeNvStore keeps blobs in memory, counts what is asked of it, and fails on request.
class FakeNvStore final : public vtpm::engine::NvStore {
 public:
  using BlobKind = vtpm::engine::BlobKind;

  base::Result<std::optional<base::SecretBytes>> load(BlobKind kind) override {
    ++loads;
    if (load_error) {
      return base::fail(*load_error);
    }
    return blobs_.load(kind);
  }

  base::Result<void> store(BlobKind kind, base::ByteView blob) override {
    if (store_error) {
      return base::fail(*store_error);
    }
    ++stores;
    return blobs_.store(kind, blob);
  }

  base::Result<void> remove(BlobKind kind) override { return blobs_.remove(kind); }

  // stored() is a copy of what is there, empty if nothing is.
  base::Bytes stored(BlobKind kind) {
    const auto blob = blobs_.load(kind);
    return *blob ? base::copy_of((**blob).expose()) : base::Bytes();
  }

  int loads = 0;
  int stores = 0;
  std::optional<base::Error> load_error;
  std::optional<base::Error> store_error;

 private:
  vtpm::engine::MemoryNvStore blobs_;
};

}  // namespace tests::support
