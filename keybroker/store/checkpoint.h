// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "keybroker/store/sql.h"
#include "keybroker/store/vm_record.h"

namespace keybroker::store {

// A checkpoint speaks for every chain of the audit log, each as it was when it was read: whatever
// the log becomes, a chain only grows. The root is the Merkle tree hash of RFC 9162, 2.1.1 over
// SHA-256, of the entries subject 17 || BE64 sequence || head 32 in the order of the subjects. What
// is signed is "strongroom.checkpoint/1" 0x00 BE64 id, BE64 time, BE64 count, root 32, SHA-256 of
// what the checkpoint before signed (32 zeros for the first).
struct Checkpoint {
  std::uint64_t id = 0;  // from 1
  crypto::Time time{};
  std::uint64_t count = 0;  // of chains
  Sha256Digest root{};
  Sha256Digest previous{};
  base::Bytes signature{};

  friend bool operator==(const Checkpoint&, const Checkpoint&) = default;
};

// signed_bytes() are all but the signature. decode_checkpoint() reads them again, from a copy that
// somebody kept: kCorrupt for what is none. Whether the signature holds is not looked at.
base::Bytes signed_bytes(const Checkpoint& checkpoint);
base::Result<Checkpoint> decode_checkpoint(base::ByteView bytes, base::ByteView signature);

using Signer = std::function<base::Result<base::Bytes>(base::ByteView message)>;
using Verifier =
    std::function<base::Result<void>(base::ByteView message, base::ByteView signature)>;

// make_checkpoint() records a checkpoint over all chains. Nothing is signed before the newest on
// record verifies, every chain still extends the head that it had there, and the record has
// `known`, the last one that the caller saw: a log that was rewritten gets no signature, and
// neither does one whose checkpoints were taken out. kAuthentication and kCorrupt, saying what does
// not hold; an auditor's own copy tells the same to somebody who does not believe the caller.
//
// It reads in pages outside of any transaction, and writes only the heads that moved, in one. If
// another program made a checkpoint meanwhile, that is the one it gives, verified. kUnavailable if
// it is not known whether the database has it: the next goes on from what is there.
base::Result<Checkpoint> make_checkpoint(Sql& sql, crypto::Time now, const Signer& sign,
                                         const Verifier& verify,
                                         const std::optional<Checkpoint>& known);

// checkpoints() are those on record from `first` on, at most `most`, in order. newest_checkpoint()
// is the last, if there is any.
base::Result<std::vector<Checkpoint>> checkpoints(Sql& sql, std::uint64_t first, std::size_t most);
base::Result<std::optional<Checkpoint>> newest_checkpoint(Sql& sql);

// verify_checkpoint() tells whether the log still has, line for line as it was, the end of each
// chain that `checkpoint` (an auditor's copy, or one of checkpoints()) speaks for. kAuthentication
// if its signature does not hold, kCorrupt, naming the subject, if a chain was cut, changed or
// taken out, or ends before. Each chain up to there is for verify_chain().
base::Result<void> verify_checkpoint(Sql& sql, const Checkpoint& checkpoint,
                                     const Verifier& verify);

// expect_checkpoint() tells whether the records have a checkpoint that somebody saw: kCorrupt if
// not, as make_checkpoint().
base::Result<void> expect_checkpoint(Sql& sql, const Checkpoint& known);

// verify_checkpoints() goes through all on record, each of which signs the one before: none is
// missing, and the signatures of the last thousand hold, which by that speak for the others. How
// many there are. kCorrupt or kAuthentication, naming the first that is wrong.
base::Result<std::uint64_t> verify_checkpoints(Sql& sql, const Verifier& verify);

}  // namespace keybroker::store
