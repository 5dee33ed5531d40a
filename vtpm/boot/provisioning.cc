// SPDX-License-Identifier: Apache-2.0
#include "vtpm/boot/provisioning.h"

#include <utility>

namespace vtpm::boot {

using engine::BlobKind;

base::Result<provision::Provisioned> provision_stored(engine::NvStore& store) {
  TRY_ASSIGN(volatile_state, store.load(BlobKind::kVolatile));
  if (volatile_state) {
    return base::fail(base::ErrorCode::kDenied,
                      "the TPM goes on from the middle of its guest's life");
  }
  TRY_ASSIGN(permanent, store.load(BlobKind::kPermanent));
  if (!permanent) {
    return base::fail(base::ErrorCode::kNotFound, "there is no TPM to provision");
  }
  TRY_ASSIGN(provisioned, provision::provision(permanent->expose(), provision::Past::kUsed));
  TRY(store.store(BlobKind::kPermanent, provisioned.permanent_state.expose()));
  provisioned.permanent_state = {};  // it has a place of its own now
  return provisioned;
}

}  // namespace vtpm::boot
