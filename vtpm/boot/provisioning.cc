// SPDX-License-Identifier: Apache-2.0
#include "vtpm/boot/provisioning.h"

#include <functional>
#include <utility>

#include "vmgs/base/log.h"

namespace vtpm::boot {

using engine::BlobKind;

namespace {

base::Result<provision::Provisioned> provision_and_store(
    engine::NvStore& store, provision::Past past,
    const std::function<provision::ProvisionWishes()>& wishes,
    const std::function<void()>& before_storing) {
  TRY_ASSIGN(volatile_state, store.load(BlobKind::kVolatile));
  if (volatile_state) {
    return base::fail(base::ErrorCode::kDenied,
                      "the TPM goes on from the middle of its guest's life");
  }
  TRY_ASSIGN(permanent, store.load(BlobKind::kPermanent));
  if (!permanent) {
    return base::fail(base::ErrorCode::kNotFound, "there is no TPM to provision");
  }
  TRY_ASSIGN(provisioned, provision::provision(permanent->expose(), past, wishes()));
  before_storing();
  TRY(store.store(BlobKind::kPermanent, provisioned.permanent_state.expose()));
  provisioned.permanent_state = {};  // it has a place of its own now
  return provisioned;
}

}  // namespace

base::Result<provision::Provisioned> provision_stored(engine::NvStore& store,
                                                      const provision::ProvisionWishes& wishes,
                                                      provision::Past past) {
  return provision_and_store(
      store, past, [&] { return wishes; }, [] {});
}

base::Result<provision::Provisioned> provision_stored(StateStore& store,
                                                      provision::ProvisionWishes wishes,
                                                      provision::Past past) {
  const auto with_seed = [&] {
    wishes.new_endorsement_seed = store.is_weaker();
    if (wishes.new_endorsement_seed) {
      base::log(base::LogLevel::kWarning,
                "the TPM's state was under a stronger protection before: it gets another "
                "endorsement seed, and with it another attestation key");
    }
    return wishes;
  };
  return provision_and_store(store, past, with_seed, [&] {
    if (wishes.new_endorsement_seed) {
      store.seeds_were_changed();
    }
  });
}

}  // namespace vtpm::boot
