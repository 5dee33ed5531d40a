// SPDX-License-Identifier: Apache-2.0
#include "keybroker/store/checkpoint.h"

#include <algorithm>
#include <span>
#include <string>
#include <utility>

#include "keybroker/store/chain_head.h"
#include "keybroker/store/columns.h"
#include "vmgs/base/cursor.h"
#include "vmgs/crypto/digest.h"

namespace keybroker::store {

namespace {

using base::ErrorCode;

constexpr std::string_view kLabel = "strongroom.checkpoint/1";
constexpr std::size_t kPageRows = 1000;
constexpr std::size_t kHeadsAtOnce = 64;
constexpr std::uint64_t kSignaturesVerified = 1000;

base::Result<Checkpoint> read_checkpoint(const Row& row) {
  TRY_ASSIGN(id, number(row, 0));
  TRY_ASSIGN(time, time_column(row, 1));
  TRY_ASSIGN(count, number(row, 2));
  TRY_ASSIGN(root, fixed<32>(row, 3));
  TRY_ASSIGN(previous, fixed<32>(row, 4));
  TRY_ASSIGN(signature, column<base::Bytes>(row, 5));
  return Checkpoint{id, time, count, root, previous, std::move(signature)};
}

// verified_heads() are those that `checkpoint` signed, found on record.
base::Result<std::vector<ChainHead>> verified_heads(Sql& sql, const Checkpoint& checkpoint,
                                                    const Verifier& verify) {
  const auto name = "checkpoint " + std::to_string(checkpoint.id);
  if (auto held = verify(signed_bytes(checkpoint), checkpoint.signature); !held) {
    return base::fail(std::move(held).error().context(name));
  }
  TRY_ASSIGN(seen, heads_at(sql, checkpoint.id));
  if (seen.heads.size() != checkpoint.count || root_of(seen.heads) != checkpoint.root) {
    return base::fail(ErrorCode::kCorrupt,
                      name + ": the heads that it was made of are not on record any more");
  }
  if (seen.lost) {
    return base::fail(ErrorCode::kCorrupt, name + ": the log of " +
                                               subject_text(seen.lost->subject) +
                                               " was cut or changed before its line " +
                                               std::to_string(seen.lost->sequence));
  }
  return std::move(seen.heads);
}

// insert_statement() enters so many heads at once: a server that is far away is asked less often.
std::string insert_statement(std::size_t heads) {
  std::string text = "INSERT INTO checkpoint_head (subject, checkpoint, seq, head) VALUES ";
  for (std::size_t i = 0; i < heads; ++i) {
    text += i == 0 ? "(" : ", (";
    for (std::size_t column = 1; column <= 4; ++column) {
      text += (column == 1 ? "$" : ", $") + std::to_string(i * 4 + column);
    }
    text += ")";
  }
  return text;
}

base::Result<void> insert_heads(Sql& sql, std::uint64_t id, std::span<const ChainHead> heads) {
  static const std::string many = insert_statement(kHeadsAtOnce);
  static const std::string one = insert_statement(1);
  while (!heads.empty()) {
    const auto count = heads.size() < kHeadsAtOnce ? 1 : kHeadsAtOnce;
    std::vector<Value> values;
    for (const auto& head : heads.first(count)) {
      values.push_back(value_of(head.subject));
      values.push_back(value_of(id));
      values.push_back(value_of(head.sequence));
      values.push_back(value_of(head.hash));
    }
    TRY(sql.execute(count == 1 ? one : many, values));
    heads = heads.subspan(count);
  }
  return {};
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
  TRY(insert_heads(sql, checkpoint.id, heads));
  return true;
}

}  // namespace

base::Bytes signed_bytes(const Checkpoint& checkpoint) {
  base::Writer bytes;
  bytes.bytes(base::bytes_of(kLabel));
  bytes.u8(0);
  bytes.u64_be(checkpoint.id);
  bytes.u64_be(static_cast<std::uint64_t>(checkpoint.time.time_since_epoch().count()));
  bytes.u64_be(checkpoint.count);
  bytes.bytes(checkpoint.root);
  bytes.bytes(checkpoint.previous);
  return std::move(bytes).take();
}

base::Result<Checkpoint> decode_checkpoint(base::ByteView bytes, base::ByteView signature) {
  base::Reader in(bytes);
  TRY_ASSIGN(label, in.bytes(kLabel.size()));
  TRY_ASSIGN(zero, in.u8());
  TRY_ASSIGN(id, in.u64_be());
  TRY_ASSIGN(time, in.u64_be());
  TRY_ASSIGN(count, in.u64_be());
  TRY_ASSIGN(root, in.bytes(sizeof(Sha256Digest)));
  TRY_ASSIGN(previous, in.bytes(sizeof(Sha256Digest)));
  TRY(in.expect_end());
  if (!std::ranges::equal(label, base::bytes_of(kLabel)) || zero != 0 || id == 0 || !fits(id) ||
      !fits(time) || !fits(count)) {
    return base::fail(ErrorCode::kCorrupt, "this is no checkpoint of an audit log");
  }
  Checkpoint read{.id = id,
                  .time = crypto::Time(std::chrono::seconds(static_cast<std::int64_t>(time))),
                  .count = count,
                  .signature = base::copy_of(signature)};
  std::ranges::copy(root, read.root.begin());
  std::ranges::copy(previous, read.previous.begin());
  return read;
}

base::Result<Checkpoint> make_checkpoint(Sql& sql, crypto::Time now, const Signer& sign,
                                         const Verifier& verify,
                                         const std::optional<Checkpoint>& known) {
  if (known) {
    TRY(expect_checkpoint(sql, *known));
  }
  TRY_ASSIGN(last, newest_checkpoint(sql));
  Checkpoint next{.id = 1, .time = now};
  std::vector<ChainHead> before;
  if (last) {
    TRY_ASSIGN(verified, verified_heads(sql, *last, verify));
    before = std::move(verified);
    next.id = last->id + 1;
    next.previous = vmgs::crypto::sha256(signed_bytes(*last));
  }
  TRY_ASSIGN(heads, present_heads(sql));
  TRY_ASSIGN(changed, moved(before, heads));
  next.count = heads.size();
  next.root = root_of(heads);
  TRY_ASSIGN(signature, sign(signed_bytes(next)));
  next.signature = std::move(signature);
  bool made = false;
  TRY_ASSIGN(commit, sql.transaction([&]() -> base::Result<Then> {
    TRY_ASSIGN(written, write(sql, next, changed));
    made = written;
    return made ? Then::kCommit : Then::kRollBack;
  }));
  // One that may yet be lost is none to tell of: it would be missed for good.
  if (commit == Commit::kUnknown) {
    return base::fail(ErrorCode::kUnavailable,
                      "the database went away: whether it has this checkpoint is not known, and "
                      "the next goes on from what it has");
  }
  if (made) {
    return next;
  }
  TRY_ASSIGN(theirs, newest_checkpoint(sql));
  if (!theirs || theirs->id < next.id) {
    return base::fail(ErrorCode::kUnavailable, "no checkpoint could be made; try again");
  }
  TRY(verify_checkpoint(sql, *theirs, verify));
  return *theirs;
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

base::Result<std::optional<Checkpoint>> newest_checkpoint(Sql& sql) {
  TRY_ASSIGN(rows, sql.execute("SELECT id, time, count, root, previous, signature FROM checkpoint "
                               "ORDER BY id DESC LIMIT 1",
                               {}));
  if (rows.empty()) {
    return std::optional<Checkpoint>();
  }
  TRY_ASSIGN(newest, read_checkpoint(rows[0]));
  return std::optional(std::move(newest));
}

base::Result<void> verify_checkpoint(Sql& sql, const Checkpoint& checkpoint,
                                     const Verifier& verify) {
  TRY_ASSIGN(seen, verified_heads(sql, checkpoint, verify));
  // Its lines may all be there, and the end that verify_chain() begins with not.
  TRY_ASSIGN(now, present_heads(sql));
  TRY(moved(seen, now));
  return {};
}

base::Result<void> expect_checkpoint(Sql& sql, const Checkpoint& known) {
  TRY_ASSIGN(found, checkpoints(sql, known.id, 1));
  if (found.empty() || signed_bytes(found[0]) != signed_bytes(known)) {
    return base::fail(ErrorCode::kCorrupt,
                      "checkpoint " + std::to_string(known.id) + " of " +
                          crypto::to_text(known.time) +
                          ", which this broker saw, is not on record any more: the records are "
                          "older than it, or somebody changed them");
  }
  return {};
}

base::Result<std::uint64_t> verify_checkpoints(Sql& sql, const Verifier& verify) {
  TRY_ASSIGN(newest, newest_checkpoint(sql));
  std::uint64_t at = 0;
  Sha256Digest previous{};
  while (newest && at < newest->id) {
    TRY_ASSIGN(page, checkpoints(sql, at + 1, kPageRows));
    for (const auto& checkpoint : page) {
      const auto name = "checkpoint " + std::to_string(checkpoint.id);
      if (checkpoint.id != at + 1 || checkpoint.previous != previous) {
        return base::fail(ErrorCode::kCorrupt, name + " does not follow the one before");
      }
      if (checkpoint.id + kSignaturesVerified > newest->id) {
        if (auto held = verify(signed_bytes(checkpoint), checkpoint.signature); !held) {
          return base::fail(std::move(held).error().context(name));
        }
      }
      at = checkpoint.id;
      previous = vmgs::crypto::sha256(signed_bytes(checkpoint));
    }
    if (page.empty()) {
      return base::fail(ErrorCode::kCorrupt,
                        "checkpoint " + std::to_string(at + 1) + " is missing");
    }
  }
  return at;
}

}  // namespace keybroker::store
