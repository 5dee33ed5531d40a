// SPDX-License-Identifier: Apache-2.0
#include <map>
#include <span>
#include <utility>

#include "keybroker/protocol/uuid.h"
#include "keybroker/store/audit_log.h"
#include "keybroker/store/columns.h"
#include "vmgs/base/cursor.h"
#include "vmgs/crypto/digest.h"

namespace keybroker::store {

namespace {

using base::ErrorCode;

constexpr int kAttempts = 10;

struct ChainHead {
  Uuid subject{};
  std::uint64_t sequence = 0;
  Sha256Digest hash{};

  friend bool operator==(const ChainHead&, const ChainHead&) = default;
};

Sha256Digest leaf_hash(const ChainHead& head) {
  base::Writer bytes;
  bytes.u8(0);
  bytes.bytes(head.subject);
  bytes.u64_be(head.sequence);
  bytes.bytes(head.hash);
  return vmgs::crypto::sha256(bytes.written());
}

// The tree of RFC 9162, 2.1.1: the left side is the largest power of two that leaves something.
Sha256Digest tree_hash(std::span<const Sha256Digest> leaves) {
  if (leaves.empty()) {
    return vmgs::crypto::sha256(base::ByteView());
  }
  if (leaves.size() == 1) {
    return leaves[0];
  }
  std::size_t left = 1;
  while (left * 2 < leaves.size()) {
    left *= 2;
  }
  const auto first = tree_hash(leaves.first(left));
  const auto second = tree_hash(leaves.subspan(left));
  const std::byte one{1};
  return vmgs::crypto::sha256({std::span(&one, 1), first, second});
}

Sha256Digest root_of(const std::vector<ChainHead>& heads) {
  std::vector<Sha256Digest> leaves;
  leaves.reserve(heads.size());
  for (const auto& head : heads) {
    leaves.push_back(leaf_hash(head));
  }
  return tree_hash(leaves);
}

base::Result<std::vector<ChainHead>> read_heads(const std::vector<Row>& rows) {
  std::vector<ChainHead> heads;
  heads.reserve(rows.size());
  for (const auto& row : rows) {
    TRY_ASSIGN(subject, fixed<16>(row, 0));
    TRY_ASSIGN(sequence, number(row, 1));
    TRY_ASSIGN(hash, fixed<32>(row, 2));
    heads.push_back({subject, sequence, hash});
  }
  return heads;
}

// heads_at() are the chains as checkpoint `id` saw them: of each its newest head up to there.
base::Result<std::vector<ChainHead>> heads_at(Sql& sql, std::uint64_t id) {
  TRY_ASSIGN(rows, sql.execute("SELECT h.subject, h.seq, h.head FROM checkpoint_head h "
                               "WHERE h.checkpoint = (SELECT max(checkpoint) FROM checkpoint_head "
                               "WHERE subject = h.subject AND checkpoint <= $1) "
                               "ORDER BY h.subject",
                               {value_of(id)}));
  return read_heads(rows);
}

base::Result<Checkpoint> read_checkpoint(const Row& row) {
  TRY_ASSIGN(id, number(row, 0));
  TRY_ASSIGN(time, time_column(row, 1));
  TRY_ASSIGN(count, number(row, 2));
  TRY_ASSIGN(root, fixed<32>(row, 3));
  TRY_ASSIGN(previous, fixed<32>(row, 4));
  TRY_ASSIGN(signature, column<base::Bytes>(row, 5));
  return Checkpoint{id, time, count, root, previous, std::move(signature)};
}

base::Result<Checkpoint> next_checkpoint(Sql& sql, crypto::Time now) {
  TRY_ASSIGN(rows, sql.execute("SELECT id, time, count, root, previous, signature FROM checkpoint "
                               "ORDER BY id DESC LIMIT 1",
                               {}));
  Checkpoint next{.id = 1, .time = now};
  if (!rows.empty()) {
    TRY_ASSIGN(last, read_checkpoint(rows[0]));
    next.id = last.id + 1;
    next.previous = vmgs::crypto::sha256(signed_bytes(last));
  }
  return next;
}

// write() gives false if another program has made a checkpoint of this id meanwhile.
base::Result<bool> write(Sql& sql, const Checkpoint& checkpoint,
                         const std::vector<ChainHead>& heads) {
  TRY_ASSIGN(made,
             sql.execute(
                 "INSERT INTO checkpoint (id, time, count, root, previous, signature) "
                 "VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (id) DO NOTHING "
                 "RETURNING id",
                 {value_of(checkpoint.id), value_of(checkpoint.time), value_of(checkpoint.count),
                  value_of(checkpoint.root), value_of(checkpoint.previous), checkpoint.signature}));
  if (made.empty()) {
    return false;
  }
  TRY_ASSIGN(before, heads_at(sql, checkpoint.id));
  std::map<Uuid, ChainHead> known;
  for (const auto& head : before) {
    known[head.subject] = head;
  }
  for (const auto& head : heads) {
    const auto found = known.find(head.subject);
    if (found == known.end() || found->second != head) {
      TRY(
          sql.execute("INSERT INTO checkpoint_head (subject, checkpoint, seq, head) "
                      "VALUES ($1, $2, $3, $4)",
                      {value_of(head.subject), value_of(checkpoint.id), value_of(head.sequence),
                       value_of(head.hash)}));
    }
  }
  return true;
}

}  // namespace

base::Bytes signed_bytes(const Checkpoint& checkpoint) {
  base::Writer bytes;
  bytes.bytes(base::bytes_of("strongroom.checkpoint/1"));
  bytes.u8(0);
  bytes.u64_be(checkpoint.id);
  bytes.u64_be(static_cast<std::uint64_t>(checkpoint.time.time_since_epoch().count()));
  bytes.u64_be(checkpoint.count);
  bytes.bytes(checkpoint.root);
  bytes.bytes(checkpoint.previous);
  return std::move(bytes).take();
}

base::Result<Checkpoint> make_checkpoint(Sql& sql, crypto::Time now, const Signer& sign) {
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    Checkpoint checkpoint;
    bool made = false;
    TRY_ASSIGN(commit, sql.transaction([&]() -> base::Result<Then> {
      TRY_ASSIGN(next, next_checkpoint(sql, now));
      // One statement sees all chains as of one moment, and none half changed.
      TRY_ASSIGN(rows, sql.execute("SELECT subject, seq, head FROM chain ORDER BY subject", {}));
      TRY_ASSIGN(heads, read_heads(rows));
      next.count = heads.size();
      next.root = root_of(heads);
      TRY_ASSIGN(signature, sign(signed_bytes(next)));
      next.signature = std::move(signature);
      TRY_ASSIGN(written, write(sql, next, heads));
      made = written;
      checkpoint = std::move(next);
      return made ? Then::kCommit : Then::kRollBack;
    }));
    // One whose outcome is unknown is left be: the next one is as good.
    if (made && commit == Commit::kDurable) {
      return checkpoint;
    }
  }
  return base::fail(ErrorCode::kUnavailable,
                    "no checkpoint could be made: others are made all the time, or the database "
                    "goes away each time");
}

base::Result<std::vector<Checkpoint>> checkpoints(Sql& sql, std::uint64_t first, std::size_t most) {
  TRY_ASSIGN(rows, sql.execute("SELECT id, time, count, root, previous, signature FROM checkpoint "
                               "WHERE id >= $1 ORDER BY id LIMIT $2",
                               {value_of(first), static_cast<std::int64_t>(most)}));
  std::vector<Checkpoint> found;
  for (const auto& row : rows) {
    TRY_ASSIGN(checkpoint, read_checkpoint(row));
    found.push_back(std::move(checkpoint));
  }
  return found;
}

base::Result<void> verify_checkpoint(Sql& sql, const Checkpoint& checkpoint,
                                     const Verifier& verify) {
  const auto name = "checkpoint " + std::to_string(checkpoint.id);
  if (auto held = verify(signed_bytes(checkpoint), checkpoint.signature); !held) {
    return base::fail(std::move(held).error().context(name));
  }
  TRY_ASSIGN(heads, heads_at(sql, checkpoint.id));
  if (heads.size() != checkpoint.count || root_of(heads) != checkpoint.root) {
    return base::fail(ErrorCode::kCorrupt,
                      name + ": the heads that it was made of are not on record any more");
  }
  for (const auto& head : heads) {
    TRY_ASSIGN(rows, sql.execute("SELECT hash FROM audit WHERE subject = $1 AND seq = $2",
                                 {value_of(head.subject), value_of(head.sequence)}));
    if (rows.empty() || rows[0].at(0) != value_of(head.hash)) {
      return base::fail(ErrorCode::kCorrupt,
                        name + ": the log of " + protocol::uuid_text(head.subject) +
                            " was cut or changed before its line " + std::to_string(head.sequence));
    }
  }
  return {};
}

}  // namespace keybroker::store
