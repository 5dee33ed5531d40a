// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "vtpm/engine/nv_store.h"

namespace vtpm::provision {

// DeferringStore stands between a TPM and its store. What the TPM stores while defer() is on is
// kept by the TPM alone until it stores anything else, which carries it: the permanent state is one
// blob. For changes that may be lost with the power, as the report of this boot. One owner.
class DeferringStore final : public engine::NvStore {
 public:
  // `store` outlives this.
  explicit DeferringStore(engine::NvStore& store) : store_(store) {}

  // The first change of a power cycle is never deferred: it records that the TPM was not shut down
  // in order, on which its counters and its lockout rely after a power cut.
  void defer(bool on) { deferring_ = on; }

  // hold() defers the first change as well, for whoever stores the whole state right behind it.
  void hold(bool on) { holding_ = on; }

  base::Result<std::optional<base::SecretBytes>> load(engine::BlobKind kind) override;
  base::Result<void> store(engine::BlobKind kind, base::ByteView blob) override;
  base::Result<void> remove(engine::BlobKind kind) override;

 private:
  engine::NvStore& store_;
  bool deferring_ = false;
  bool holding_ = false;
  bool stored_ = false;  // since the power was turned on
};

}  // namespace vtpm::provision
