// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <filesystem>
#include <functional>
#include <optional>
#include <utility>

#include "keybroker/crypto/key_transfer.h"
#include "keybroker/crypto/public_key.h"
#include "vmgs/base/bytes.h"
#include "vmgs/base/descriptor.h"
#include "vmgs/base/result.h"
#include "vmgs/base/secret.h"
#include "vmgs/format/ownership.h"
#include "vmgs/format/vm_id.h"

namespace vtpm::handover {

// How the right to a TPM passes from one host to another that shares nothing with it but files that
// people carry: the host that awaits a TPM makes a ticket, and the host that has it seals the state
// to the ticket's key, when its own store says already that the state is not its own any more.
// Whoever holds a ticket's claim decides which of two things becomes true, and never both: that the
// state has arrived, or that it is given back.
using ReleaseSecret = base::Secret<32>;

// Ticket is what the awaiting host makes and the other is given, and nobody else: who can read it
// can seal a TPM of his own to it, and who can put another in its place gets the TPM.
struct Ticket {
  vmgs::format::TicketId id{};
  std::array<std::byte, 32> release_digest{};  // SHA-256 of the ReleaseSecret

  // Whose TPM is awaited, where that is known.
  std::optional<vmgs::format::VmId> vm_id = std::nullopt;

  // What shows that who seals was given the ticket.
  base::Secret<32> sealing_secret = base::Secret<32>::zero();

  keybroker::crypto::PublicKey key;  // P-384
};

// Bytes: magic "SRTK", u32 version 1, little-endian, id 16, release digest 32, VM id 16 or zero,
// sealing secret 32, a DER SubjectPublicKeyInfo. decode_ticket() is kCorrupt for anything else.
base::SecretBytes encode_ticket(const Ticket& ticket);
base::Result<Ticket> decode_ticket(base::ByteView bytes);

// read_ticket() reads one from a file. kNotFound if there is none yet; kCorrupt, kIo.
base::Result<Ticket> read_ticket(const std::filesystem::path& path);

// remove_used_ticket() removes the ticket with that id, when something is durably offered to it: it
// is good for one. It warns if it cannot.
void remove_used_ticket(const std::filesystem::path& path, const vmgs::format::TicketId& id);

// Claim is the right to what is sealed to a ticket, for as long as this process lives: the key is
// in its memory alone.
//
//   PATH            the ticket
//   PATH.claim      the release secret, what the store here said of its TPM before anything
//                   arrived, and, from before anything is stored, where; locked while the claim is
//                   held
//   PATH.released   the release secret, for the host that is given its state back, once nobody
//                   holds a claim; several of them are one file, one after the other
//   PATH.released.TICKET-ID  those of the tickets before: none is ever lost, as the other host may
//                   still have a copy of the ticket, and offer its TPM to that
//   PATH.returned.TICKET-ID  at that host: what the other has given back
//   STORE.arriving  the ticket's id, while a store is to be made around what arrives
//
// All are for this user only.
class Claim {
 public:
  // make() draws a ticket and writes it to `path`, durably. `before` is what the store of this host
  // says of its TPM; nothing if there is no store. `vm_id` is whose TPM is awaited, if that is
  // known. kUnavailable while somebody holds a claim to it; kDenied where one was left, for
  // release() has to say first what became of it; kCorrupt where something lies in the place of the
  // release before, which is set aside; kIo.
  static base::Result<Claim> make(const std::filesystem::path& path,
                                  const std::optional<vmgs::format::Ownership>& before,
                                  const std::optional<vmgs::format::VmId>& vm_id = std::nullopt);

  [[nodiscard]] const Ticket& ticket() const { return ticket_; }

  [[nodiscard]] const keybroker::crypto::TransferKey& key() const { return key_; }

  // arriving() says, durably and before anything is stored, that the state may lie in `store` from
  // now on: without seeing that, nobody can say that it does not. kIo.
  base::Result<void> arriving(const std::filesystem::path& store);

  // arrived() says that the state is durable in the store of this host: nobody gives it back any
  // more, and the ticket is used up.
  void arrived();

 private:
  Claim(std::filesystem::path path, base::Descriptor lock, Ticket ticket,
        keybroker::crypto::TransferKey key)
      : path_(std::move(path)),
        lock_(std::move(lock)),
        ticket_(std::move(ticket)),
        key_(std::move(key)) {}

  std::filesystem::path path_;
  base::Descriptor lock_;
  Ticket ticket_;
  keybroker::crypto::TransferKey key_;
  std::optional<std::filesystem::path> store_;  // that the state may lie in
};

// release() gives back what was offered to the ticket at `path`, and never arrived: nobody can open
// it any more. The result is where its release lies; nothing if the ticket was never published.
// `now` says what the store of this host, `store`, says of its TPM: that it came by this ticket, or
// the same as before if nothing has arrived. kUnavailable while somebody holds the claim; kDenied
// if it has arrived, or may have and the store is not there or is another, whose claim then stays;
// kNotFound if there is no claim; errors of `now`; kIo.
base::Result<std::optional<std::filesystem::path>> release(
    const std::filesystem::path& path, const std::filesystem::path& store,
    const std::function<base::Result<std::optional<vmgs::format::Ownership>>()>& now);

// read_release() looks beside the ticket at `path` for what gives back what was offered to the
// ticket with that id: what release() has written here, or at the other host. kNotFound if there is
// nothing; kCorrupt, kIo.
base::Result<ReleaseSecret> read_release(const std::filesystem::path& path,
                                         const vmgs::format::TicketId& id);

// settle_claim() removes the claim beside the ticket at `path` if the store here came by it: nobody
// has said so before. set_used_release_aside() has PATH.released be PATH.returned.TICKET-ID if it
// is of the ticket with that id, when the store here has durably been taken back by it. Both leave
// anything else as it is.
void settle_claim(const std::filesystem::path& path, const vmgs::format::TicketId& arrived_by);
void set_used_release_aside(const std::filesystem::path& path, const vmgs::format::TicketId& id);

}  // namespace vtpm::handover
