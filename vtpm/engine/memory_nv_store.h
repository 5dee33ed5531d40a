// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "vtpm/engine/nv_store.h"

namespace vtpm::engine {

// MemoryNvStore keeps the blobs for as long as it lives, and nothing of them anywhere else: the
// store of an ephemeral TPM, which survives a reset of its guest but not its process.
class MemoryNvStore final : public NvStore {
 public:
  base::Result<std::optional<base::SecretBytes>> load(BlobKind kind) override;
  base::Result<void> store(BlobKind kind, base::ByteView blob) override;
  base::Result<void> remove(BlobKind kind) override;

 private:
  std::optional<base::SecretBytes>& slot(BlobKind kind);

  std::optional<base::SecretBytes> permanent_;
  std::optional<base::SecretBytes> volatile_;
};

}  // namespace vtpm::engine
