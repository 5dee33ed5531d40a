// SPDX-License-Identifier: Apache-2.0
#include "tools/vtpm-instance/sealed_state_blobs.h"

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
using vmgs::format::Ownership;
using vmgs::format::Standing;
using vtpm::engine::BlobKind;

namespace {

constexpr std::chrono::milliseconds kBetweenLooks{10};

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

base::Result<void> SealedStateBlobs::leave(StateBlob which) {
  if (which != StateBlob::kPermanent) {
    if (parts_.otherwise != nullptr && migration() == Migration::kNone) {
      return parts_.otherwise->leave(which);
    }
    return offered_to_ ? base::Result<void>()
                       : base::fail(ErrorCode::kDenied,
                                    "a TPM leaves with its permanent state first, if it is sealed");
  }
  auto* const store = parts_.state.store();
  auto ticket = handover::read_ticket(parts_.ticket);
  if (!ticket && ticket.error().code == ErrorCode::kNotFound && parts_.otherwise != nullptr &&
      migration() == Migration::kNone) {
    return parts_.otherwise->leave(which);
  }
  if (store == nullptr) {
    return base::fail(ErrorCode::kDenied,
                      "only a TPM that lies in a store leaves sealed; this one is kept in memory");
  }
  if (!ticket) {
    ticket.error().code = ErrorCode::kDenied;
    return base::fail(std::move(ticket).error().context(
        "no state leaves without a ticket of the host that awaits it (--migration-ticket there)"));
  }
  if (store->ownership().standing != Standing::kOffered) {
    TRY(offer(*store, *ticket));
  } else if (store->ownership().ticket != ticket->id) {
    return base::fail(ErrorCode::kDenied, "the TPM is offered to another ticket already");
  }
  epoch_ = store->ownership().epoch;
  offered_to_ = *std::move(ticket);
  return {};
}

base::Result<void> SealedStateBlobs::offer(vtpm::boot::StateStore& store,
                                           const handover::Ticket& ticket) {
  base::Result<void> offered;
  // The store is that of the TPM's commands as well.
  parts_.device.undisturbed([&] { offered = store.offer(ticket.id, ticket.release_digest); });
  parts_.device.goes_elsewhere(store.ownership().standing == Standing::kOffered);
  parts_.moved();
  if (offered) {
    base::log(base::LogLevel::kInfo,
              "the TPM is offered to another host, and nothing is stored here any more");
  }
  return offered;
}

base::Result<OutgoingStateBlob> SealedStateBlobs::wrap(StateBlob which, base::ByteView state,
                                                       bool file_key_off) {
  if (parts_.otherwise != nullptr && migration() == Migration::kNone) {
    return parts_.otherwise->wrap(which, state, file_key_off);
  }
  if (!offered_to_) {
    return base::fail(ErrorCode::kDenied, "the TPM is offered to nobody");
  }
  TRY_ASSIGN(sealed,
             handover::seal_state(*offered_to_, {.kind = kind_of(which), .epoch = epoch_}, state));
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
  Ownership arrival;
  arrival.epoch = opened.half.epoch + 1;
  arrival.ticket = claim_->ticket().id;
  parts_.state.arrives_by(arrival);
  return std::move(opened.state);
}

base::Result<void> SealedStateBlobs::wanted_back(std::uint32_t retries) {
  if (migration() != Migration::kOffered) {
    return {};
  }
  auto* const store = parts_.state.store();
  for (std::uint32_t look = 0;; ++look) {
    const auto secret = handover::read_release(parts_.ticket);
    if (secret) {
      base::Result<void> taken;
      parts_.device.undisturbed([&] { taken = store->take_back(*secret); });
      TRY(std::move(taken));
      parts_.device.goes_elsewhere(false);
      offered_to_.reset();
      parts_.moved();
      base::log(base::LogLevel::kInfo, "the TPM was given back, and goes on here");
      return {};
    }
    if (look >= retries) {
      return base::fail(ErrorCode::kUnavailable,
                        "the TPM was offered to another host, which has not given it back "
                        "(--release-ticket there, and " +
                            parts_.ticket.string() + ".released here): " + secret.error().message);
    }
    std::this_thread::sleep_for(kBetweenLooks);
  }
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
  return handover::release(setup.migration_ticket,
                           [&] { return TpmState::ownership_in_store(setup, choice); });
}

}  // namespace tools::vtpm_instance
