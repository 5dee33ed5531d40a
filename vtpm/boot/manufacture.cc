// SPDX-License-Identifier: Apache-2.0
#include "vtpm/boot/manufacture.h"

#include "vtpm/engine/engine.h"
#include "vtpm/engine/memory_nv_store.h"

namespace vtpm::boot {

base::Result<base::SecretBytes> manufacture() {
  engine::MemoryNvStore memory;
  TRY_ASSIGN(engine, engine::Engine::create(memory));
  TRY(engine->start(engine::Origin::kManufacture));
  return engine->state_blob(engine::BlobKind::kPermanent);
}

}  // namespace vtpm::boot
