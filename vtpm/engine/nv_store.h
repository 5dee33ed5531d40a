// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"
#include "vmgs/base/secret.h"

namespace vtpm::engine {

// BlobKind is which state of a TPM a blob of libtpms holds.
enum class BlobKind {
  kPermanent,  // Seeds, NV, hierarchies, counters: what the TPM is. Always stored as a whole.
  kVolatile,   // PCRs, sessions, loaded objects: what it is doing.
};

// NvStore keeps the state blobs of one TPM. The blobs hold its seeds, so they are secrets. Called
// on the engine's thread, one call at a time.
class NvStore {
 public:
  virtual ~NvStore() = default;

  // load() gives the stored blob, or nothing where there never was one. What is there but cannot
  // be read is an error: nothing may be made new because something could not be read.
  virtual base::Result<std::optional<base::SecretBytes>> load(BlobKind kind) = 0;

  // store() replaces the stored blob. When it returns success the new blob survives power loss;
  // when it returns an error the old one does. Storing a permanent blob also removes a stored
  // volatile one, in the same step, because that no longer fits.
  virtual base::Result<void> store(BlobKind kind, base::ByteView blob) = 0;

  // remove() is durable in the same way. Removing what is not there succeeds and costs nothing.
  virtual base::Result<void> remove(BlobKind kind) = 0;
};

}  // namespace vtpm::engine
