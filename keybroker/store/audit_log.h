// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "keybroker/store/sql.h"
#include "keybroker/store/vm_record.h"

namespace keybroker::store {

// One line of a subject's log. The hash is
// SHA-256(hash of the line before, or 32 zeros || BE64 sequence || subject 17 || BE64 time ||
// BE32 length of kind, kind || BE32 length of reason, reason || request id 16 || content).
struct AuditRow {
  Subject subject{};
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
base::Result<void> append_audit(Sql& sql, const Subject& subject, std::string_view kind,
                                const Act& act, std::string_view reason = {});

// read_audit_row() reads the columns subject, seq, time, kind, reason, request_id, content, hash.
base::Result<AuditRow> read_audit_row(const Row& row);

// subjects() are those that have a chain, ascending, at most `most` of them above `after`.
base::Result<std::vector<Subject>> subjects(Sql& sql, const std::optional<Subject>& after,
                                            std::size_t most);

// verify_chain() recomputes a subject's chain: how many lines it has. kCorrupt, naming the line, if
// one is missing, changed or out of order. Lines cut off the end together with the head, and a
// chain that was computed anew, are for verify_checkpoint() to find.
base::Result<std::uint64_t> verify_chain(Sql& sql, const Subject& subject);

}  // namespace keybroker::store
