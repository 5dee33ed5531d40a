// SPDX-License-Identifier: Apache-2.0
#include "keybroker/store/chain_head.h"

#include <span>
#include <string>

#include "keybroker/store/columns.h"
#include "vmgs/base/cursor.h"
#include "vmgs/crypto/digest.h"

namespace keybroker::store {

namespace {

using base::ErrorCode;

constexpr std::int64_t kPageRows = 1000;

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

base::Result<ChainHead> read_head(const Row& row) {
  TRY_ASSIGN(subject, fixed<17>(row, 0));
  TRY_ASSIGN(sequence, number(row, 1));
  TRY_ASSIGN(hash, fixed<32>(row, 2));
  return ChainHead{subject, sequence, hash};
}

// Where the next page begins. No id is empty, so the empty one stands before them all.
Value after(const std::vector<ChainHead>& heads) {
  return heads.empty() ? Value(base::Bytes()) : value_of(heads.back().subject);
}

}  // namespace

Sha256Digest root_of(const std::vector<ChainHead>& heads) {
  std::vector<Sha256Digest> leaves;
  leaves.reserve(heads.size());
  for (const auto& head : heads) {
    leaves.push_back(leaf_hash(head));
  }
  return tree_hash(leaves);
}

base::Result<std::vector<ChainHead>> present_heads(Sql& sql) {
  std::vector<ChainHead> heads;
  for (;;) {
    TRY_ASSIGN(rows, sql.execute("SELECT subject, seq, head FROM chain WHERE subject > $1 "
                                 "ORDER BY subject LIMIT $2",
                                 {after(heads), kPageRows}));
    for (const auto& row : rows) {
      TRY_ASSIGN(head, read_head(row));
      heads.push_back(head);
    }
    if (rows.size() < static_cast<std::size_t>(kPageRows)) {
      return heads;
    }
  }
}

base::Result<HeadsSeen> heads_at(Sql& sql, std::uint64_t checkpoint) {
  HeadsSeen seen;
  for (;;) {
    TRY_ASSIGN(rows, sql.execute("SELECT h.subject, h.seq, h.head, a.hash FROM "
                                 "(SELECT subject, max(checkpoint) AS newest FROM checkpoint_head "
                                 "WHERE subject > $1 AND checkpoint <= $3 "
                                 "GROUP BY subject ORDER BY subject LIMIT $2) n "
                                 "JOIN checkpoint_head h ON h.subject = n.subject "
                                 "AND h.checkpoint = n.newest "
                                 "LEFT JOIN audit a ON a.subject = h.subject AND a.seq = h.seq "
                                 "ORDER BY h.subject",
                                 {after(seen.heads), kPageRows, value_of(checkpoint)}));
    for (const auto& row : rows) {
      TRY_ASSIGN(head, read_head(row));
      if (!seen.lost && row.at(3) != value_of(head.hash)) {
        seen.lost = head;
      }
      seen.heads.push_back(head);
    }
    if (rows.size() < static_cast<std::size_t>(kPageRows)) {
      return seen;
    }
  }
}

base::Result<std::vector<ChainHead>> moved(const std::vector<ChainHead>& before,
                                           const std::vector<ChainHead>& now) {
  std::vector<ChainHead> found;
  auto was = before.begin();
  for (const auto& head : now) {
    if (was == before.end() || head.subject < was->subject) {
      found.push_back(head);
      continue;
    }
    if (head.subject != was->subject) {
      break;
    }
    if (head.sequence < was->sequence || (head.sequence == was->sequence && head != *was)) {
      return base::fail(ErrorCode::kCorrupt, "the log of " + subject_text(head.subject) +
                                                 " was set back or changed since the "
                                                 "checkpoint");
    }
    if (head != *was) {
      found.push_back(head);
    }
    ++was;
  }
  if (was != before.end()) {
    return base::fail(ErrorCode::kCorrupt, "the log of " + subject_text(was->subject) +
                                               " was taken out since the checkpoint");
  }
  return found;
}

}  // namespace keybroker::store
