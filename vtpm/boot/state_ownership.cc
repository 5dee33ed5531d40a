// SPDX-License-Identifier: Apache-2.0
#include <cstdint>
#include <limits>
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

// It goes on saying to which ticket, as nobody waits for that any more.
Ownership given_back(const Ownership& offered) {
  Ownership owned;
  owned.epoch = offered.epoch;
  owned.ticket = offered.ticket;
  return owned;
}

tl::unexpected<base::Error> is_offered(const Ownership& offered, const std::string& more = "") {
  return base::fail(ErrorCode::kDenied,
                    "the TPM of this store was offered to another host (ticket " +
                        base::to_hex(offered.ticket) +
                        "), and is started there if it has arrived. If it has not, that host can "
                        "give it back (vtpmctl migrate cancel, or --release-ticket)" +
                        more);
}

}  // namespace

// Whether what it says now is still to be stored.
base::Result<bool> StateStore::find_ownership() {
  TRY_ASSIGN(found, ownership_of(*volume_));
  const bool offered = found.standing == Standing::kOffered;
  bool taken_back = false;
  if (arrival_ && found == arrival_->ownership) {
    arrival_.reset();  // it has arrived, and the store is opened anew
  } else if (arrival_ && (!offered || arrival_->ownership.epoch <= found.epoch)) {
    // Of two hosts that believe to have one TPM, one would be wrong.
    return base::fail(ErrorCode::kDenied,
                      "a TPM arrives for a store that has not been given away since: nothing was "
                      "changed. Give the TPM back to the host that has sent it (vtpmctl migrate "
                      "cancel, or --release-ticket here), and await it with another store");
  } else if (!arrival_ && offered) {
    const auto release = settings_.release_of
                             ? settings_.release_of(found.ticket)
                             : base::fail(ErrorCode::kNotFound, "nobody knows of a release");
    taken_back = release && gives_back(*release, found);
    // A store that was open when it was offered is opened anew to be taken back.
    if (!taken_back && !failed_) {
      return settings_.release_of
                 ? is_offered(found, ". " + (release ? "The release beside its ticket is false"
                                                     : release.error().message))
                 : is_offered(found);
    }
  }
  // A TPM that still has to arrive is not this: until its state is stored, with its ownership,
  // what lies here is as given away as it was.
  ownership_ = taken_back ? given_back(found) : found;
  return taken_back;
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
  return ownership_.standing == Standing::kOffered ? is_offered(ownership_) : base::Result<void>();
}

base::Result<void> StateStore::offer(const vmgs::format::TicketId& ticket,
                                     const std::array<std::byte, 32>& release_digest) {
  TRY(expect_owned());
  if (failed_) {
    return base::fail(ErrorCode::kDenied, "what the disk holds is unknown since a commit failed");
  }
  if (ticket == ownership_.ticket) {
    return base::fail(ErrorCode::kDenied,
                      "this ticket is used up: the TPM came by it, or was given back by it. Get a "
                      "new one from the host that awaits the TPM");
  }
  if (ownership_.epoch == std::numeric_limits<std::uint64_t>::max()) {
    return base::fail(ErrorCode::kDenied, "there is no epoch after that of this TPM");
  }
  auto offered = ownership_;
  offered.standing = Standing::kOffered;
  offered.ticket = ticket;
  offered.release_digest = release_digest;
  // Whether it is durable or not when this fails: nothing else is stored.
  ownership_ = offered;
  return settle(blobs_->store_ownership(offered));
}

bool StateStore::leaves_for(const vmgs::format::TicketId& ticket) const {
  return blobs_ && !failed_ && ownership_.standing == Standing::kOffered &&
         ownership_.ticket == ticket;
}

base::Result<void> StateStore::store_arrival(base::ByteView permanent_state) {
  TRY(expect_open());
  blobs_->carry(arrival_->ownership);
  blobs_->note_past(arrival_->imported, arrival_->seeds);
  TRY(settle(blobs_->store(engine::BlobKind::kPermanent, permanent_state)));
  ownership_ = std::exchange(arrival_, std::nullopt)->ownership;
  weaker_ = blobs_->is_weaker();
  imported_ = blobs_->is_imported();
  return {};
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
