// SPDX-License-Identifier: Apache-2.0
#include <string>
#include <utility>

#include "vmgs/crypto/digest.h"
#include "vmgs/storage/container.h"
#include "vmgs/volume/volume.h"
#include "vtpm/boot/state_store.h"

// Who has the TPM of a store: this host, or another to which it was offered.
namespace vtpm::boot {

namespace {

using base::ErrorCode;
using vmgs::format::kOwnershipFile;
using vmgs::format::Ownership;
using vmgs::format::Standing;
using vmgs::volume::Volume;

base::Result<Ownership> ownership_of(const Volume& volume) {
  if (!volume.contains(kOwnershipFile)) {
    return Ownership();
  }
  TRY_ASSIGN(content, volume.read(kOwnershipFile));
  return vmgs::format::decode_ownership(content.expose());
}

bool gives_back(const base::Secret<32>& secret, const Ownership& offered) {
  return vmgs::crypto::equal_in_constant_time(vmgs::crypto::sha256(secret.expose()),
                                              offered.release_digest);
}

Ownership given_back(const Ownership& offered) {
  Ownership owned;
  owned.epoch = offered.epoch;
  return owned;
}

tl::unexpected<base::Error> is_offered() {
  return base::fail(ErrorCode::kDenied,
                    "the TPM of this store was offered to another host, and is started there if it "
                    "has arrived. If it has not, that host can give it back (vtpmctl migrate "
                    "cancel, or --release-ticket)");
}

}  // namespace

base::Result<void> StateStore::find_ownership() {
  TRY_ASSIGN(found, ownership_of(*volume_));
  const bool offered = found.standing == Standing::kOffered;
  if (settings_.arrival && found == *settings_.arrival) {
    ownership_ = found;  // it has arrived, and the store is opened anew
    return {};
  }
  if (settings_.arrival) {
    // Of two hosts that believe to have one TPM, one would be wrong.
    if (!offered || settings_.arrival->epoch <= found.epoch) {
      return base::fail(ErrorCode::kDenied,
                        "a TPM arrives for a store that has not been given away since: nothing was "
                        "changed. Start the VM here, or put the store away");
    }
    ownership_ = *settings_.arrival;
    return {};
  }
  if (offered && settings_.given_back && gives_back(*settings_.given_back, found)) {
    found = given_back(found);
  } else if (offered) {
    return is_offered();
  }
  ownership_ = found;
  return {};
}

base::Result<std::optional<Ownership>> StateStore::ownership_in(const StoreSettings& settings,
                                                                Protector& protector) {
  auto container = vmgs::storage::open_container(
      settings.path, {.access = vmgs::storage::Access::kReadWrite, .spacing = settings.spacing});
  if (!container && container.error().code == ErrorCode::kNotFound) {
    return std::optional<Ownership>();
  }
  TRY_ASSIGN(opened, std::move(container));
  TRY_ASSIGN(volume, Volume::open(*opened.device, opened.spacing));
  TRY(protector.expect_fits(volume));
  TRY(protector.unlock(volume));
  TRY_ASSIGN(ownership, ownership_of(volume));
  return std::optional<Ownership>(ownership);
}

base::Result<void> StateStore::expect_owned() const {
  TRY(expect_open());
  return ownership_.standing == Standing::kOffered ? is_offered() : base::Result<void>();
}

base::Result<void> StateStore::offer(const vmgs::format::TicketId& ticket,
                                     const std::array<std::byte, 32>& release_digest) {
  TRY(expect_owned());
  if (failed_) {
    return base::fail(ErrorCode::kDenied, "what the disk holds is unknown since a commit failed");
  }
  auto offered = ownership_;
  offered.standing = Standing::kOffered;
  offered.ticket = ticket;
  offered.release_digest = release_digest;
  // Whether it is durable or not when this fails: nothing else is stored.
  ownership_ = offered;
  return settle(blobs_->store_ownership(offered));
}

base::Result<void> StateStore::take_back(const base::Secret<32>& secret) {
  TRY(expect_open());
  if (ownership_.standing != Standing::kOffered || !gives_back(secret, ownership_)) {
    return base::fail(ErrorCode::kDenied,
                      "this does not give back what the TPM of this store was offered to");
  }
  const auto owned = given_back(ownership_);
  TRY(settle(blobs_->store_ownership(owned)));
  ownership_ = owned;
  return {};
}

}  // namespace vtpm::boot
