// SPDX-License-Identifier: Apache-2.0
#include "keybroker/store/once.h"

#include <utility>

#include "keybroker/store/audit_log.h"
#include "keybroker/store/columns.h"

namespace keybroker::store {

namespace {

using base::ErrorCode;

constexpr int kAttempts = 3;

bool is_it(const KnownRequest& known, std::string_view kind, const Act& act) {
  return known.kind == kind && known.digest == act.request_digest;
}

auto used_before() {
  return base::fail(ErrorCode::kDenied, "this request id was used for another request");
}

}  // namespace

base::Result<void> settle(Sql& sql, const std::function<base::Result<Then>()>& steps) {
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    TRY_ASSIGN(commit, sql.transaction(steps));
    if (commit == Commit::kDurable) {
      return {};
    }
  }
  return base::fail(ErrorCode::kUnavailable,
                    "the database goes away when it is asked to commit. Whether it did is not "
                    "known; the same request again finds out");
}

base::Result<std::optional<KnownRequest>> find_request(Sql& sql, const Subject& subject,
                                                       const RequestId& request_id) {
  TRY_ASSIGN(rows,
             sql.execute("UPDATE request SET repeats = repeats + 1 "
                         "WHERE subject = $1 AND request_id = $2 RETURNING kind, digest, answer",
                         {value_of(subject), value_of(request_id)}));
  if (rows.empty()) {
    return std::nullopt;
  }
  TRY_ASSIGN(kind, column<std::string>(rows[0], 0));
  TRY_ASSIGN(digest, fixed<32>(rows[0], 1));
  TRY_ASSIGN(answer, column<base::Bytes>(rows[0], 2));
  return KnownRequest{std::move(kind), digest, std::move(answer)};
}

base::Result<void> note_request(Sql& sql, const Subject& subject, std::string_view kind,
                                const Sha256Digest& digest, const Act& act) {
  TRY(
      sql.execute("INSERT INTO request (subject, request_id, kind, digest, answer, repeats, time) "
                  "VALUES ($1, $2, $3, $4, $5, 0, $6)",
                  {value_of(subject), value_of(act.request_id), std::string(kind), value_of(digest),
                   base::Bytes(), value_of(act.now)}));
  return {};
}

base::Result<void> change(Sql& sql, const Subject& subject, std::string_view kind, const Act& act,
                          const std::function<base::Result<bool>()>& steps) {
  auto done = settle(sql, [&]() -> base::Result<Then> {
    TRY_ASSIGN(known, find_request(sql, subject, act.request_id));
    if (known) {
      if (!is_it(*known, kind, act)) {
        return used_before();
      }
      return Then::kCommit;
    }
    TRY_ASSIGN(changed, steps());
    if (changed) {
      TRY(append_audit(sql, subject, kind, act));
    }
    // Also where nothing was to change: what is so already may not have been durable before.
    TRY(note_request(sql, subject, kind, act.request_digest, act));
    return Then::kCommit;
  });
  if (done || done.error().code == ErrorCode::kUnavailable) {
    return done;
  }
  // A commit whose outcome was not known, or the same request over another connection, may have
  // become visible only while these steps waited for its locks: they failed over their own work.
  bool is_granted = false;
  TRY(settle(sql, [&]() -> base::Result<Then> {
    TRY_ASSIGN(meanwhile, find_request(sql, subject, act.request_id));
    is_granted = meanwhile && is_it(*meanwhile, kind, act);
    return Then::kCommit;
  }));
  return is_granted ? base::Result<void>() : std::move(done);
}

base::Result<bool> made_before(Sql& sql, const Subject& subject,
                               std::initializer_list<std::string_view> kinds, const Act& act) {
  TRY_ASSIGN(known, find_request(sql, subject, act.request_id));
  if (!known) {
    return false;
  }
  for (const auto kind : kinds) {
    if (is_it(*known, kind, act)) {
      return true;
    }
  }
  return used_before();
}

Act with_facts(const Act& act, std::string_view members) {
  Act told = act;
  told.audit = "{" + std::string(members) + ",\"detail\":" + act.audit + "}";
  return told;
}

}  // namespace keybroker::store
