// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "keybroker/store/sql.h"
#include "keybroker/store/vm_record.h"

namespace keybroker::store {

// One line of a subject's log. The subject is a VM, or a tenant for what is about no VM. The hash
// is SHA-256(hash of the line before, or 32 zeros || BE64 sequence || subject 16 || BE64 time ||
// BE32 length of kind, kind || BE32 length of reason, reason || request id 16 || content).
struct AuditRow {
  Uuid subject{};
  std::uint64_t sequence = 0;  // from 1, without gaps
  crypto::Time time{};
  std::string kind{};    // "claimed", "anchored", "closed", "refused", "registered", ...
  std::string reason{};  // of a refusal
  RequestId request_id{};
  std::string content{};  // JSON
  Sha256Digest hash{};

  friend bool operator==(const AuditRow&, const AuditRow&) = default;
};

Sha256Digest audit_hash(const Sha256Digest& previous, const AuditRow& row);

// append_audit() adds the next line of a subject's chain. It is a step of the transaction that does
// what the line tells, and holds the subject until that ends.
base::Result<void> append_audit(Sql& sql, const Uuid& subject, std::string_view kind,
                                const Act& act, std::string_view reason = {});

// read_audit_row() reads the columns subject, seq, time, kind, reason, request_id, content, hash.
base::Result<AuditRow> read_audit_row(const Row& row);

// subjects() are those that have a chain, ascending, at most `most` of them above `after`.
base::Result<std::vector<Uuid>> subjects(Sql& sql, const std::optional<Uuid>& after,
                                         std::size_t most);

// verify_chain() recomputes a subject's chain: how many lines it has. kCorrupt, naming the line, if
// one is missing, changed or out of order. Lines cut off the end together with the head are for
// verify_checkpoint() to find.
base::Result<std::uint64_t> verify_chain(Sql& sql, const Uuid& subject);

// A checkpoint speaks for every chain as it was at one moment. The root is the Merkle tree hash of
// RFC 9162, 2.1.1 over SHA-256, of the entries subject 16 || BE64 sequence || head 32 in the order
// of the subjects. What is signed is "strongroom.checkpoint/1" 0x00 BE64 id, BE64 time, BE64 count,
// root 32, SHA-256 of what the checkpoint before signed (32 zeros for the first).
struct Checkpoint {
  std::uint64_t id = 0;  // from 1
  crypto::Time time{};
  std::uint64_t count = 0;  // of chains
  Sha256Digest root{};
  Sha256Digest previous{};
  base::Bytes signature{};

  friend bool operator==(const Checkpoint&, const Checkpoint&) = default;
};

base::Bytes signed_bytes(const Checkpoint& checkpoint);

using Signer = std::function<base::Result<base::Bytes>(base::ByteView message)>;
using Verifier =
    std::function<base::Result<void>(base::ByteView message, base::ByteView signature)>;

// make_checkpoint() records a checkpoint over all chains. An auditor keeps a copy where nobody who
// can write the database can write.
base::Result<Checkpoint> make_checkpoint(Sql& sql, crypto::Time now, const Signer& sign);

// checkpoints() are those on record from `first` on, at most `most`, in order.
base::Result<std::vector<Checkpoint>> checkpoints(Sql& sql, std::uint64_t first, std::size_t most);

// verify_checkpoint() tells whether the log still has, line for line as it was, the end of each
// chain that `checkpoint` (an auditor's copy, or one of checkpoints()) speaks for. kAuthentication
// if its signature does not hold, kCorrupt, naming the subject, if a chain was cut, changed or
// taken out. Each chain up to there is for verify_chain().
base::Result<void> verify_checkpoint(Sql& sql, const Checkpoint& checkpoint,
                                     const Verifier& verify);

}  // namespace keybroker::store
