// SPDX-License-Identifier: Apache-2.0
#include "tools/vtpm-instance/sealed_state_blobs.h"

#include <algorithm>
#include <chrono>
#include <string>
#include <thread>
#include <utility>

#include "vmgs/base/log.h"
#include "vtpm/boot/state_store.h"
#include "vtpm/handover/sealed_state.h"

namespace tools::vtpm_instance {

namespace handover = vtpm::handover;
using base::ErrorCode;
using transport::tpm_socket::OutgoingStateBlob;
using transport::tpm_socket::StateBlob;
using vmgs::format::Standing;
using vtpm::engine::BlobKind;

namespace {

constexpr std::chrono::milliseconds kBetweenLooks{10};

// As many as QEMU asks for. Nothing else is done meanwhile.
constexpr std::uint32_t kMostLooks = 300;

BlobKind kind_of(StateBlob which) {
  return which == StateBlob::kPermanent ? BlobKind::kPermanent : BlobKind::kVolatile;
}

}  // namespace

Migration SealedStateBlobs::migration() const {
  if (claim_) {
    return Migration::kAwaited;
  }
  const auto* const store = parts_.state.store();
  return store != nullptr && store->ownership().standing == Standing::kOffered ? Migration::kOffered
                                                                               : Migration::kNone;
}

transport::tpm_socket::KeysInUse SealedStateBlobs::keys_in_use() const {
  return parts_.otherwise == nullptr ? transport::tpm_socket::KeysInUse{}
                                     : parts_.otherwise->keys_in_use();
}

bool SealedStateBlobs::leaves() const {
  const auto* const store = parts_.state.store();
  return offered_to_ && store != nullptr && store->leaves_for(offered_to_->id);
}

base::Result<void> SealedStateBlobs::leave(StateBlob which) {
  const bool may_leave_otherwise = parts_.otherwise != nullptr && migration() == Migration::kNone;
  if (which != StateBlob::kPermanent) {
    const auto ticket = handover::read_ticket(parts_.ticket);
    const bool has_ticket = ticket || ticket.error().code != ErrorCode::kNotFound;
    if (may_leave_otherwise && !has_ticket) {
      return parts_.otherwise->leave(which);
    }
    return leaves() ? base::Result<void>()
                    : base::fail(ErrorCode::kDenied,
                                 "a TPM leaves with its permanent state first, if it is sealed");
  }
  auto* const store = parts_.state.store();
  auto ticket = handover::read_ticket(parts_.ticket);
  if (!ticket && ticket.error().code == ErrorCode::kNotFound) {
    if (leaves()) {
      return {};  // asked again
    }
    if (may_leave_otherwise) {
      return parts_.otherwise->leave(which);
    }
  }
  if (store == nullptr) {
    return base::fail(ErrorCode::kDenied,
                      "only a TPM that lies in a store leaves sealed; this one is kept in memory");
  }
  if (!ticket) {
    ticket.error().code = ErrorCode::kDenied;
    return base::fail(std::move(ticket).error().context(
        "no state leaves without a ticket of the host that awaits it (`vtpmctl migrate`, or "
        "--migration-ticket there), where state blobs are not plain"));
  }
  if (migration() == Migration::kOffered) {
    return leaves() && ticket->id == offered_to_->id
               ? base::Result<void>()
               : base::fail(ErrorCode::kDenied,
                            "the TPM was offered before, and has to be given back before it leaves "
                            "by another ticket");
  }
  if (ticket->vm_id && *ticket->vm_id != store->vm_id()) {
    return base::fail(ErrorCode::kDenied, "the ticket awaits the TPM of VM " +
                                              to_string(*ticket->vm_id) + ", and this is VM " +
                                              to_string(store->vm_id()));
  }
  if (handover::read_release(parts_.ticket, ticket->id)) {
    return base::fail(ErrorCode::kDenied,
                      "the host that has made this ticket has given back what was offered to it, "
                      "and awaits nothing by it any more. Get a new one");
  }
  return offer(*store, *std::move(ticket));
}

base::Result<void> SealedStateBlobs::offer(vtpm::boot::StateStore& store, handover::Ticket ticket) {
  base::Result<void> offered;
  // The store is that of the TPM's commands as well.
  parts_.device.undisturbed([&] {
    offered = store.offer(ticket.id, ticket.release_digest);
    if (!offered) {
      (void)store.open_anew_after_failure();  // it may be the TPM's still
    }
    left_ = store.ownership().standing == Standing::kOffered;
    parts_.device.goes_elsewhere(left_);
  });
  if (offered) {
    half_ = {.epoch = store.ownership().epoch,
             .vm_id = store.vm_id(),
             .seeds = store.seeds(),
             .imported = store.is_imported()};
    handover::remove_used_ticket(parts_.ticket, ticket.id);
    offered_to_ = std::move(ticket);
    base::log(base::LogLevel::kInfo,
              "the TPM is offered to another host, and nothing is stored here any more");
  }
  parts_.moved();
  return offered;
}

base::Result<OutgoingStateBlob> SealedStateBlobs::wrap(StateBlob which, base::ByteView state,
                                                       bool file_key_off) {
  if (parts_.otherwise != nullptr && migration() == Migration::kNone) {
    return parts_.otherwise->wrap(which, state, file_key_off);
  }
  if (!leaves()) {
    return base::fail(ErrorCode::kDenied, "the TPM is offered to nobody");
  }
  auto half = half_;
  half.kind = kind_of(which);
  TRY_ASSIGN(sealed, handover::seal_state(*offered_to_, half, state));
  return OutgoingStateBlob{base::SecretBytes::taking(std::move(sealed)), false};
}

base::Result<base::SecretBytes> SealedStateBlobs::unwrap(StateBlob which, base::ByteView blob,
                                                         bool under_file_key) {
  if (!claim_ && parts_.otherwise != nullptr) {
    return parts_.otherwise->unwrap(which, blob, under_file_key);
  }
  if (!claim_) {
    return base::fail(ErrorCode::kDenied,
                      "no state is awaited here: sealed state is taken once, by an instance that "
                      "was started with --incoming");
  }
  TRY_ASSIGN(opened, handover::open_state(*claim_, blob));
  if (opened.half.kind != kind_of(which)) {
    return base::fail(ErrorCode::kCorrupt, "this is the other half of the TPM's state");
  }
  if (opened.half.kind == BlobKind::kPermanent) {
    TRY(expect(opened.half));
  } else if (opened.half.epoch != half_.epoch || opened.half.vm_id != half_.vm_id) {
    return base::fail(ErrorCode::kDenied, "the halves of the state are not of one TPM");
  }
  return std::move(opened.state);
}

base::Result<void> SealedStateBlobs::expect(const handover::SealedHalf& half) {
  vtpm::boot::Arrival arrival{.ownership = {}, .seeds = half.seeds, .imported = half.imported};
  arrival.ownership.epoch = half.epoch + 1;
  arrival.ownership.ticket = claim_->ticket().id;
  TRY(parts_.state.arrives_by(half.vm_id, arrival));
  TRY(claim_->arriving(parts_.store));
  half_ = half;
  return {};
}

base::Result<void> SealedStateBlobs::wanted_back(std::uint32_t retries) {
  auto* const store = parts_.state.store();
  if (!left_ || store == nullptr) {
    return {};
  }
  for (std::uint32_t look = 0;; ++look) {
    const auto back = look_for_release(*store);
    if (back) {
      left_ = false;
      offered_to_.reset();
      handover::set_used_release_aside(parts_.ticket, store->ownership().ticket);
      parts_.moved();
      base::log(base::LogLevel::kInfo, "the TPM was given back, and goes on here");
      return {};
    }
    if (look >= std::min(retries, kMostLooks)) {
      return base::fail(
          ErrorCode::kUnavailable,
          "the TPM was offered to another host, which has not given it back (--release-ticket "
          "there, and " +
              parts_.ticket.string() + ".released here): " + back.error().message);
    }
    std::this_thread::sleep_for(kBetweenLooks);
  }
}

// The TPM is here if its store says so: by itself, after an offer that failed, or by a release.
base::Result<void> SealedStateBlobs::look_for_release(vtpm::boot::StateStore& store) {
  base::Result<void> back;
  parts_.device.undisturbed([&] {
    back = store.open_anew_after_failure();
    if (back && store.ownership().standing == Standing::kOffered) {
      const auto secret = handover::read_release(parts_.ticket, store.ownership().ticket);
      back = secret ? store.take_back(*secret) : base::Result<void>(base::fail(secret.error()));
    }
    if (back) {
      parts_.device.goes_elsewhere(false);
    } else if (!leaves()) {
      offered_to_.reset();  // taken back or not, it leaves by that ticket no more
    }
  });
  return back;
}

void SealedStateBlobs::powered_on() {
  const auto* const store = parts_.state.store();
  if (claim_ && store != nullptr && store->ownership().ticket == claim_->ticket().id) {
    claim_->arrived();
    claim_.reset();
    parts_.moved();
    base::log(base::LogLevel::kInfo,
              "the TPM has arrived, in epoch " + std::to_string(store->ownership().epoch));
  }
}

base::Result<void> release_ticket(const InstanceSetup& setup, const LaunchChoice& choice) {
  TRY_ASSIGN(released, handover::release(setup.migration_ticket, setup.store, [&] {
               return TpmState::ownership_in_store(setup, choice);
             }));
  base::log(base::LogLevel::kInfo,
            released
                ? "nothing has arrived by the ticket: bring " + released->string() +
                      " to the host that has offered its TPM, beside the ticket there, and start "
                      "the VM there, or let its guest go on"
                : std::string("the ticket was never whole, so that nothing was offered to it"));
  return {};
}

}  // namespace tools::vtpm_instance
