// SPDX-License-Identifier: Apache-2.0
#include "keybroker/store/audit_log.h"

#include <utility>

#include "keybroker/store/columns.h"
#include "vmgs/base/cursor.h"
#include "vmgs/crypto/digest.h"

namespace keybroker::store {

namespace {

using base::ErrorCode;

constexpr std::int64_t kPageRows = 1000;

void text(base::Writer& out, std::string_view value) {
  out.u32_be(static_cast<std::uint32_t>(value.size()));
  out.bytes(base::bytes_of(value));
}

std::uint64_t seconds(crypto::Time time) {
  return static_cast<std::uint64_t>(time.time_since_epoch().count());
}

tl::unexpected<base::Error> broken(const Subject& subject, std::uint64_t sequence,
                                   const char* how) {
  return base::fail(ErrorCode::kCorrupt, "the log of " + subject_text(subject) + ", line " +
                                             std::to_string(sequence) + ": " + how);
}

struct Head {
  std::uint64_t sequence = 0;
  Sha256Digest hash{};
};

base::Result<Head> read_head(const Row& row, std::size_t position) {
  TRY_ASSIGN(sequence, number(row, position));
  TRY_ASSIGN(hash, fixed<32>(row, position + 1));
  return Head{sequence, hash};
}

// take_subject() counts a subject's next line, and holds the subject against everybody else: its
// head as it was, and the number of the new line.
base::Result<Head> take_subject(Sql& sql, const Subject& subject) {
  constexpr auto kNext = "UPDATE chain SET seq = seq + 1 WHERE subject = $1 RETURNING seq, head";
  TRY_ASSIGN(rows, sql.execute(kNext, {value_of(subject)}));
  if (rows.empty()) {
    TRY(
        sql.execute("INSERT INTO chain (subject, seq, head) VALUES ($1, 0, $2) "
                    "ON CONFLICT (subject) DO NOTHING",
                    {value_of(subject), value_of(Sha256Digest{})}));
    TRY_ASSIGN(begun, sql.execute(kNext, {value_of(subject)}));
    rows = std::move(begun);
  }
  if (rows.empty()) {
    return base::fail(ErrorCode::kCorrupt, "a chain of the log cannot be begun");
  }
  return read_head(rows[0], 0);
}

}  // namespace

Sha256Digest audit_hash(const Sha256Digest& previous, const AuditRow& row) {
  base::Writer bytes;
  bytes.bytes(previous);
  bytes.u64_be(row.sequence);
  bytes.bytes(row.subject);
  bytes.u64_be(seconds(row.time));
  text(bytes, row.kind);
  text(bytes, row.reason);
  bytes.bytes(row.request_id);
  bytes.bytes(base::bytes_of(row.content));
  return vmgs::crypto::sha256(bytes.written());
}

base::Result<void> append_audit(Sql& sql, const Subject& subject, std::string_view kind,
                                const Act& act, std::string_view reason) {
  TRY_ASSIGN(previous, take_subject(sql, subject));
  AuditRow row{subject,        previous.sequence, act.now, std::string(kind), std::string(reason),
               act.request_id, act.audit};
  row.hash = audit_hash(previous.hash, row);
  TRY(
      sql.execute("INSERT INTO audit (subject, seq, time, kind, reason, request_id, content, hash) "
                  "VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
                  {value_of(subject), value_of(row.sequence), value_of(row.time), row.kind,
                   row.reason, value_of(row.request_id), row.content, value_of(row.hash)}));
  TRY(sql.execute("UPDATE chain SET head = $2 WHERE subject = $1",
                  {value_of(subject), value_of(row.hash)}));
  return {};
}

base::Result<AuditRow> read_audit_row(const Row& row) {
  TRY_ASSIGN(subject, fixed<17>(row, 0));
  TRY_ASSIGN(sequence, number(row, 1));
  TRY_ASSIGN(time, time_column(row, 2));
  TRY_ASSIGN(kind, column<std::string>(row, 3));
  TRY_ASSIGN(reason, column<std::string>(row, 4));
  TRY_ASSIGN(request_id, fixed<16>(row, 5));
  TRY_ASSIGN(content, column<std::string>(row, 6));
  TRY_ASSIGN(hash, fixed<32>(row, 7));
  return AuditRow{subject, sequence, time, kind, reason, request_id, content, hash};
}

base::Result<std::vector<Subject>> subjects(Sql& sql, const std::optional<Subject>& after,
                                            std::size_t most) {
  // No id is empty, so the empty one stands before them all.
  TRY_ASSIGN(rows,
             sql.execute("SELECT subject FROM chain WHERE subject > $1 ORDER BY subject LIMIT $2",
                         {after ? value_of(*after) : Value(base::Bytes()),
                          static_cast<std::int64_t>(most)}));
  std::vector<Subject> found;
  for (const auto& row : rows) {
    TRY_ASSIGN(subject, fixed<17>(row, 0));
    found.push_back(subject);
  }
  return found;
}

base::Result<std::uint64_t> verify_chain(Sql& sql, const Subject& subject) {
  // The head is read first: lines that are added meanwhile are none of this check's.
  TRY_ASSIGN(heads,
             sql.execute("SELECT seq, head FROM chain WHERE subject = $1", {value_of(subject)}));
  Head head;
  if (!heads.empty()) {
    TRY_ASSIGN(found, read_head(heads[0], 0));
    head = found;
  }
  Head at;
  while (at.sequence < head.sequence) {
    TRY_ASSIGN(rows,
               sql.execute("SELECT subject, seq, time, kind, reason, request_id, content, hash "
                           "FROM audit WHERE subject = $1 AND seq > $2 ORDER BY seq LIMIT $3",
                           {value_of(subject), value_of(at.sequence), kPageRows}));
    if (rows.empty()) {
      return broken(subject, at.sequence + 1, "is missing");
    }
    for (const auto& row : rows) {
      TRY_ASSIGN(line, read_audit_row(row));
      if (line.sequence != at.sequence + 1) {
        return broken(subject, at.sequence + 1, "is missing");
      }
      if (audit_hash(at.hash, line) != line.hash) {
        return broken(subject, line.sequence, "is not what was written");
      }
      at = {line.sequence, line.hash};
      if (at.sequence == head.sequence) {
        break;
      }
    }
  }
  if (at.hash != head.hash) {
    return broken(subject, head.sequence, "is not the one that the chain ends with");
  }
  // Lines of a chain that says it has none, or fewer.
  TRY_ASSIGN(beyond, sql.execute("SELECT max(a.seq), coalesce(max(c.seq), 0) FROM audit a "
                                 "LEFT JOIN chain c ON c.subject = a.subject WHERE a.subject = $1",
                                 {value_of(subject)}));
  if (!beyond.empty() && !is_null(beyond[0], 0) && beyond[0].at(0) != beyond[0].at(1)) {
    return broken(subject, head.sequence + 1, "is past the end that the chain has");
  }
  return head.sequence;
}

}  // namespace keybroker::store
