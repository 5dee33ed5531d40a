// SPDX-License-Identifier: Apache-2.0
#include <utility>

#include "keybroker/store/broker_records.h"
#include "keybroker/store/columns.h"
#include "keybroker/store/once.h"
#include "keybroker/store/vm_row.h"

namespace keybroker::store {

namespace {

using base::ErrorCode;

constexpr const char* kClaimed = "claimed";

bool is_served(VmStatus status) {
  return status == VmStatus::kActive || status == VmStatus::kConverting;
}

std::optional<StatePoint> restore_at(const VmRecord& record, crypto::Time now) {
  return record.restore && now <= record.restore->until ? std::optional(record.restore->state)
                                                        : std::nullopt;
}

std::string quoted(std::string_view key, std::string_view value) {
  return "\"" + std::string(key) + "\":\"" + std::string(value) + "\"";
}

// repeat_claim() answers a request that was granted before, as long as nobody has claimed since.
base::Result<ClaimOutcome> repeat_claim(Sql& sql, const RecordSeal& seal,
                                        const ClaimRequest& request, const Act& act,
                                        const KnownRequest& known) {
  if (known.kind != kClaimed || known.digest != request.request_digest) {
    return ClaimRefusal::kOtherRequest;
  }
  TRY_ASSIGN(record, load_vm(sql, seal, request.vm_id));
  if (!is_served(record.status)) {
    return ClaimRefusal::kDisabled;
  }
  if (record.claim_request != act.request_id || record.owner != request.boot_id ||
      record.conf_version != request.conf_version) {
    return ClaimRefusal::kRaced;
  }
  return Claimed{record.epoch, record.anchor, record.restores, restore_at(record, act.now), true};
}

// refused_claim() says why the compare-and-set found no row.
base::Result<ClaimOutcome> refused_claim(Sql& sql, const RecordSeal& seal,
                                         const ClaimRequest& request, const Act& act) {
  auto record = load_vm(sql, seal, request.vm_id);
  if (!record) {
    if (record.error().code == ErrorCode::kNotFound) {
      return ClaimRefusal::kUnknownVm;
    }
    return base::fail(std::move(record).error());
  }
  if (!is_served(record->status)) {
    return ClaimRefusal::kDisabled;
  }
  if (record->owner != request.boot_id && record->lease_until > act.now) {
    return ClaimRefusal::kLeaseRunning;
  }
  return ClaimRefusal::kRaced;
}

// take_epoch() is the compare-and-set: the epoch, or nothing.
base::Result<std::optional<std::uint64_t>> take_epoch(Sql& sql, const ClaimRequest& request,
                                                      const Act& act) {
  TRY_ASSIGN(
      rows,
      sql.execute("UPDATE vm SET epoch = CASE WHEN owner_boot = $3 THEN epoch ELSE epoch + 1 END, "
                  "owner_boot = $3, claim_req = $4, lease_until = $7 "
                  "WHERE vm_id = $1 AND epoch = $2 AND conf_version = $5 "
                  "AND status IN ('active', 'converting') "
                  "AND (owner_boot = $3 OR lease_until <= $6) RETURNING epoch",
                  {value_of(request.vm_id), value_of(request.epoch_seen), value_of(request.boot_id),
                   value_of(act.request_id), value_of(request.conf_version), value_of(act.now),
                   request.lease_until ? value_of(*request.lease_until) : Value(std::int64_t{0})}));
  if (rows.empty()) {
    return std::nullopt;
  }
  TRY_ASSIGN(epoch, number(rows[0], 0));
  return std::optional(epoch);
}

base::Result<bool> use_nonce(Sql& sql, const ClaimRequest& request) {
  TRY_ASSIGN(rows, sql.execute("INSERT INTO nonce_used (vm_id, nonce, expires) VALUES ($1, $2, $3) "
                               "ON CONFLICT (vm_id, nonce) DO NOTHING RETURNING expires",
                               {value_of(request.vm_id), value_of(request.nonce),
                                value_of(request.nonce_expiry)}));
  return !rows.empty();
}

// try_claim() runs inside the transaction; whether it is kept is for the caller to say.
base::Result<ClaimOutcome> try_claim(Sql& sql, const RecordSeal& seal, const ClaimRequest& request,
                                     const Act& act) {
  TRY_ASSIGN(known, find_request(sql, vm_subject(request.vm_id), act.request_id));
  if (known) {
    return repeat_claim(sql, seal, request, act, *known);
  }
  TRY_ASSIGN(epoch, take_epoch(sql, request, act));
  if (!epoch) {
    // The same request may have been granted over another connection while this one waited.
    TRY_ASSIGN(meanwhile, find_request(sql, vm_subject(request.vm_id), act.request_id));
    return meanwhile ? repeat_claim(sql, seal, request, act, *meanwhile)
                     : refused_claim(sql, seal, request, act);
  }
  TRY_ASSIGN(fresh, use_nonce(sql, request));
  if (!fresh) {
    return ClaimRefusal::kReplayedNonce;
  }
  const auto facts = "\"epoch\":" + std::to_string(*epoch) + "," +
                     quoted("boot-id", base::to_hex(request.boot_id));
  TRY(append_audit(sql, vm_subject(request.vm_id), kClaimed, with_facts(act, facts)));
  TRY(note_request(sql, vm_subject(request.vm_id), kClaimed, request.request_digest, act));
  TRY_ASSIGN(record, load_vm(sql, seal, request.vm_id));
  return Claimed{*epoch, record.anchor, record.restores, restore_at(record, act.now), false};
}

std::string_view kind_of(AnchorKind kind) {
  return kind == AnchorKind::kBoot ? "anchored" : "closed";
}

base::Result<AnchorOutcome> repeat_anchor(Sql& sql, const AnchorRequest& request,
                                          const KnownRequest& known) {
  if (known.kind != kind_of(request.kind) || known.digest != request.request_digest) {
    return AnchorRefusal::kOtherRequest;
  }
  TRY_ASSIGN(rows, sql.execute("SELECT restores FROM anchor "
                               "WHERE vm_id = $1 AND epoch = $2 AND seq = $3",
                               {value_of(request.vm_id), value_of(request.epoch),
                                value_of(request.state.sequence)}));
  if (rows.empty()) {
    return base::fail(ErrorCode::kCorrupt, "an anchor that was recorded is not on record");
  }
  TRY_ASSIGN(restores, number(rows[0], 0));
  return Anchored{restores, true, known.answer, std::nullopt};
}

base::Result<AnchorOutcome> refused_anchor(Sql& sql, const RecordSeal& seal,
                                           const AnchorRequest& request) {
  auto record = load_vm(sql, seal, request.vm_id);
  if (!record) {
    if (record.error().code == ErrorCode::kNotFound) {
      return AnchorRefusal::kUnknownVm;
    }
    return base::fail(std::move(record).error());
  }
  if (!is_served(record->status) || record->epoch != request.epoch ||
      record->owner != request.boot_id) {
    return AnchorRefusal::kFenced;
  }
  return AnchorRefusal::kStale;
}

// set_anchor() is the compare-and-set: the count of restores, or nothing. Only a restore that the
// tenant allowed takes the sequence back, and then at the first anchor of an epoch.
base::Result<std::optional<std::uint64_t>> set_anchor(Sql& sql, const AnchorRequest& request,
                                                      const Act& act) {
  const bool boot = request.kind == AnchorKind::kBoot;
  TRY_ASSIGN(rows, sql.execute(
                       "UPDATE vm SET a_epoch = $2, a_seq = $4, a_digest = $5, a_req = $6, "
                       "lease_until = CASE WHEN $8 = 1 THEN lease_until ELSE 0 END, "
                       "ek_name = CASE WHEN $8 = 1 THEN $9 ELSE ek_name END, "
                       "ak_name = CASE WHEN $8 = 1 THEN $10 ELSE ak_name END, clone_pending = 0, "
                       "restores = restores + $7, "
                       "restore_seq = CASE WHEN $7 = 1 THEN NULL ELSE restore_seq END, "
                       "restore_digest = CASE WHEN $7 = 1 THEN NULL ELSE restore_digest END, "
                       "restore_until = CASE WHEN $7 = 1 THEN NULL ELSE restore_until END "
                       "WHERE vm_id = $1 AND epoch = $2 AND owner_boot = $3 "
                       "AND status IN ('active', 'converting') "
                       "AND (a_seq IS NULL OR a_seq < $4 OR ($7 = 1 AND a_epoch < $2)) "
                       "AND ($7 = 0 OR restore_seq IS NOT NULL) RETURNING restores",
                       {value_of(request.vm_id), value_of(request.epoch), value_of(request.boot_id),
                        value_of(request.state.sequence), value_of(request.state.digest),
                        value_of(act.request_id), std::int64_t{request.used_restore ? 1 : 0},
                        std::int64_t{boot ? 1 : 0}, request.ek_name, request.ak_name}));
  if (rows.empty()) {
    return std::nullopt;
  }
  TRY_ASSIGN(restores, number(rows[0], 0));
  return std::optional(restores);
}

base::Result<AnchorOutcome> try_anchor(Sql& sql, const RecordSeal& seal,
                                       const AnchorRequest& request, const Act& act) {
  TRY_ASSIGN(known, find_request(sql, vm_subject(request.vm_id), act.request_id));
  if (known) {
    return repeat_anchor(sql, request, *known);
  }
  TRY_ASSIGN(restores, set_anchor(sql, request, act));
  if (!restores) {
    TRY_ASSIGN(meanwhile, find_request(sql, vm_subject(request.vm_id), act.request_id));
    return meanwhile ? repeat_anchor(sql, request, *meanwhile) : refused_anchor(sql, seal, request);
  }
  TRY(sql.execute(
      "INSERT INTO anchor (vm_id, epoch, seq, digest, kind, restores, request_id, time) "
      "VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
      {value_of(request.vm_id), value_of(request.epoch), value_of(request.state.sequence),
       value_of(request.state.digest), std::string(kind_of(request.kind)), value_of(*restores),
       value_of(act.request_id), value_of(act.now)}));
  const auto facts = "\"epoch\":" + std::to_string(request.epoch) +
                     ",\"sequence\":" + std::to_string(request.state.sequence) + "," +
                     quoted("digest", base::to_hex(request.state.digest)) +
                     ",\"restores\":" + std::to_string(*restores);
  TRY(append_audit(sql, vm_subject(request.vm_id), kind_of(request.kind), with_facts(act, facts)));
  TRY(note_request(sql, vm_subject(request.vm_id), kind_of(request.kind), request.request_digest,
                   act));
  // The row is held by now. What was written into it by somebody else is rolled back with this.
  TRY_ASSIGN(record, load_vm(sql, seal, request.vm_id));
  return Anchored{*restores, false, {}, std::move(record)};
}

}  // namespace

std::string_view name(ClaimRefusal refusal) {
  constexpr std::string_view kNames[] = {"unknown-vm", "raced",         "replayed-nonce",
                                         "disabled",   "lease-running", "other-request"};
  return kNames[static_cast<std::size_t>(refusal)];
}

std::string_view name(AnchorRefusal refusal) {
  constexpr std::string_view kNames[] = {"unknown-vm", "fenced", "stale", "other-request"};
  return kNames[static_cast<std::size_t>(refusal)];
}

base::Result<ClaimOutcome> BrokerRecords::claim(const ClaimRequest& request, const Act& act) {
  if (!fits(request.epoch_seen) || !fits(request.conf_version)) {
    return base::fail(ErrorCode::kInvalidArgument, "no epoch is so large");
  }
  TRY(sql_->is_durable());
  ClaimOutcome outcome = ClaimRefusal::kRaced;
  TRY(settle(*sql_, [&]() -> base::Result<Then> {
    TRY_ASSIGN(tried, try_claim(*sql_, *seal_, request, act));
    outcome = std::move(tried);
    return std::holds_alternative<Claimed>(outcome) ? Then::kCommit : Then::kRollBack;
  }));
  return outcome;
}

base::Result<AnchorOutcome> BrokerRecords::anchor(const AnchorRequest& request, const Act& act) {
  if (!fits(request.epoch) || !fits(request.state.sequence)) {
    return base::fail(ErrorCode::kInvalidArgument, "no epoch and no commit sequence is so large");
  }
  TRY(sql_->is_durable());
  AnchorOutcome outcome = AnchorRefusal::kFenced;
  TRY(settle(*sql_, [&]() -> base::Result<Then> {
    TRY_ASSIGN(tried, try_anchor(*sql_, *seal_, request, act));
    outcome = std::move(tried);
    return std::holds_alternative<Anchored>(outcome) ? Then::kCommit : Then::kRollBack;
  }));
  return outcome;
}

base::Result<void> BrokerRecords::keep_answer(const Uuid& vm_id, const RequestId& request_id,
                                              base::ByteView answer) {
  return settle(*sql_, [&]() -> base::Result<Then> {
    TRY_ASSIGN(
        rows, sql_->execute("UPDATE request SET answer = $3 "
                            "WHERE subject = $1 AND request_id = $2 RETURNING repeats",
                            {value_of(vm_subject(vm_id)), value_of(request_id), value_of(answer)}));
    if (rows.empty()) {
      return base::fail(ErrorCode::kNotFound, "no such request was granted");
    }
    return Then::kCommit;
  });
}

namespace {

// append_once() is a step: the next line of a subject's log, unless the last is the same.
base::Result<Then> append_once(Sql& sql, const Subject& subject, std::string_view kind,
                               std::string_view reason, const Act& act) {
  TRY_ASSIGN(last, sql.execute("SELECT kind, reason, request_id FROM audit WHERE subject = $1 "
                               "ORDER BY seq DESC LIMIT 1",
                               {value_of(subject)}));
  const Row same = {std::string(kind), std::string(reason), value_of(act.request_id)};
  if (!last.empty() && last[0] == same) {
    TRY(sql.execute("UPDATE chain SET seq = seq WHERE subject = $1", {value_of(subject)}));
  } else {
    TRY(append_audit(sql, subject, kind, act, reason));
  }
  return Then::kCommit;
}

}  // namespace

base::Result<void> BrokerRecords::refuse(const Uuid& vm_id, std::string_view reason,
                                         const Act& act) {
  return settle(*sql_, [&]() -> base::Result<Then> {
    TRY_ASSIGN(known, sql_->execute("SELECT created FROM vm WHERE vm_id = $1", {value_of(vm_id)}));
    return append_once(*sql_, vm_subject(known.empty() ? Uuid{} : vm_id), "refused", reason, act);
  });
}

base::Result<void> BrokerRecords::note(const Uuid& vm_id, std::string_view kind, const Act& act) {
  return settle(*sql_, [&]() -> base::Result<Then> {
    return append_once(*sql_, vm_subject(vm_id), kind, "", act);
  });
}

base::Result<std::size_t> BrokerRecords::forget_ended(crypto::Time now) {
  // Each statement is a transaction of its own, which nobody waits long for.
  constexpr std::int64_t kAtOnce = 10'000;
  std::size_t dropped = 0;
  const auto drop = [&](std::string_view statement, crypto::Time before) -> base::Result<void> {
    for (;;) {
      TRY_ASSIGN(rows, sql_->execute(statement, {value_of(before), kAtOnce}));
      dropped += rows.size();
      if (rows.size() < static_cast<std::size_t>(kAtOnce)) {
        return {};
      }
    }
  };
  TRY(
      drop("DELETE FROM nonce_used WHERE (vm_id, nonce) IN "
           "(SELECT vm_id, nonce FROM nonce_used WHERE expires < $1 "
           "ORDER BY expires LIMIT $2) RETURNING expires",
           now - std::chrono::hours(1)));
  TRY(
      drop("DELETE FROM request WHERE (subject, request_id) IN "
           "(SELECT subject, request_id FROM request WHERE time < $1 "
           "ORDER BY time LIMIT $2) RETURNING time",
           now - std::chrono::hours(7 * 24)));
  return dropped;
}

}  // namespace keybroker::store
