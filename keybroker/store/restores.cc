// SPDX-License-Identifier: Apache-2.0
#include <utility>

#include "keybroker/store/broker_records.h"
#include "keybroker/store/columns.h"
#include "keybroker/store/once.h"
#include "keybroker/store/vm_row.h"

namespace keybroker::store {

namespace {

using base::ErrorCode;

std::string facts_of(const StatePoint& state) {
  return "\"sequence\":" + std::to_string(state.sequence) + ",\"digest\":\"" +
         base::to_hex(state.digest) + "\"";
}

base::Result<void> check_fits(const StatePoint& state) {
  if (!fits(state.sequence)) {
    return base::fail(ErrorCode::kInvalidArgument, "no commit sequence is so large");
  }
  return {};
}

constexpr const char* kDeleted = "this VM is deleted";

base::Result<void> deny_deleted(const VmRecord& record) {
  if (record.status == VmStatus::kDeleted) {
    return base::fail(ErrorCode::kDenied, kDeleted);
  }
  return {};
}

}  // namespace

base::Result<void> BrokerRecords::allow_restore(const Uuid& vm_id, const StatePoint& state,
                                                crypto::Time until, const Act& act) {
  TRY(check_fits(state));
  const auto told = with_facts(act, facts_of(state));
  return change(*sql_, vm_subject(vm_id), "restore-allowed", told, [&]() -> base::Result<bool> {
    TRY_ASSIGN(rows, sql_->execute("UPDATE vm SET restore_seq = $2, restore_digest = $3, "
                                   "restore_until = $4 WHERE vm_id = $1 AND status <> 'deleted' "
                                   "RETURNING restores",
                                   {value_of(vm_id), value_of(state.sequence),
                                    value_of(state.digest), value_of(until)}));
    if (rows.empty()) {
      TRY(load_vm(*sql_, *seal_, vm_id));
      return base::fail(ErrorCode::kDenied, kDeleted);
    }
    return true;
  });
}

base::Result<Anchor> BrokerRecords::anchor_at(const Uuid& vm_id, crypto::Time time) {
  TRY_ASSIGN(rows, sql_->execute("SELECT epoch, seq, digest FROM anchor WHERE vm_id = $1 "
                                 "AND time <= $2 ORDER BY epoch DESC, seq DESC LIMIT 1",
                                 {value_of(vm_id), value_of(time)}));
  if (rows.empty()) {
    return base::fail(ErrorCode::kNotFound, "nothing of this VM had been anchored at that time");
  }
  TRY_ASSIGN(epoch, number(rows[0], 0));
  TRY_ASSIGN(sequence, number(rows[0], 1));
  TRY_ASSIGN(digest, fixed<32>(rows[0], 2));
  return Anchor{epoch, {sequence, digest}};
}

base::Result<bool> BrokerRecords::accept_receipt(const Uuid& vm_id, const Anchor& anchor,
                                                 std::uint64_t restores, const Act& act) {
  TRY(check_fits(anchor.state));
  if (!fits(anchor.epoch) || !fits(restores)) {
    return base::fail(ErrorCode::kInvalidArgument, "no epoch and no count of restores is so large");
  }
  bool moved = false;
  const auto told =
      with_facts(act, "\"epoch\":" + std::to_string(anchor.epoch) + "," + facts_of(anchor.state) +
                          ",\"restores\":" + std::to_string(restores));
  auto recorded =
      change(*sql_, vm_subject(vm_id), "receipt-accepted", told, [&]() -> base::Result<bool> {
        // Whoever owned an older epoch is fenced. A restore that the receipt has counted is used
        // up.
        TRY_ASSIGN(
            rows, sql_->execute(
                      "UPDATE vm SET a_epoch = $2, a_seq = $3, a_digest = $4, a_req = NULL, "
                      "owner_boot = CASE WHEN epoch < $2 THEN NULL ELSE owner_boot END, "
                      "claim_req = CASE WHEN epoch < $2 THEN NULL ELSE claim_req END, "
                      "epoch = CASE WHEN epoch < $2 THEN $2 ELSE epoch END, "
                      "restore_seq = CASE WHEN restores < $5 THEN NULL ELSE restore_seq END, "
                      "restore_digest = CASE WHEN restores < $5 THEN NULL ELSE restore_digest END, "
                      "restore_until = CASE WHEN restores < $5 THEN NULL ELSE restore_until END, "
                      "restores = CASE WHEN restores < $5 THEN $5 ELSE restores END, "
                      "clone_pending = 0 "
                      "WHERE vm_id = $1 AND status <> 'deleted' "
                      "AND (a_seq IS NULL OR a_epoch < $2 OR (a_epoch = $2 AND a_seq < $3)) "
                      "RETURNING epoch",
                      {value_of(vm_id), value_of(anchor.epoch), value_of(anchor.state.sequence),
                       value_of(anchor.state.digest), value_of(restores)}));
        moved = !rows.empty();
        if (!moved) {
          TRY(load_vm(*sql_, *seal_, vm_id));
          return false;
        }
        TRY(
            sql_->execute("INSERT INTO anchor "
                          "(vm_id, epoch, seq, digest, kind, restores, request_id, time) "
                          "VALUES ($1, $2, $3, $4, 'receipt', $5, $6, $7)",
                          {value_of(vm_id), value_of(anchor.epoch), value_of(anchor.state.sequence),
                           value_of(anchor.state.digest), value_of(restores),
                           value_of(act.request_id), value_of(act.now)}));
        return true;
      });
  TRY(std::move(recorded));
  return moved;
}

base::Result<void> BrokerRecords::disable_vm(const Uuid& vm_id, const Act& act) {
  return change(*sql_, vm_subject(vm_id), "disabled", act, [&]() -> base::Result<bool> {
    TRY_ASSIGN(record, held_vm(*sql_, *seal_, vm_id));
    TRY(deny_deleted(record));
    if (record.status == VmStatus::kDisabled) {
      return false;
    }
    record.status = VmStatus::kDisabled;
    TRY(store_vm(*sql_, *seal_, record));
    return true;
  });
}

base::Result<void> BrokerRecords::enable_vm(const Uuid& vm_id, const Act& act) {
  return change(*sql_, vm_subject(vm_id), "enabled", act, [&]() -> base::Result<bool> {
    TRY_ASSIGN(record, held_vm(*sql_, *seal_, vm_id));
    TRY(deny_deleted(record));
    if (record.status != VmStatus::kDisabled) {
      return false;
    }
    record.status = record.previous ? VmStatus::kConverting : VmStatus::kActive;
    TRY(store_vm(*sql_, *seal_, record));
    return true;
  });
}

base::Result<void> BrokerRecords::delete_vm(const Uuid& vm_id, const Act& act) {
  return change(*sql_, vm_subject(vm_id), "deleted", act, [&]() -> base::Result<bool> {
    TRY_ASSIGN(record, held_vm(*sql_, *seal_, vm_id));
    if (record.status == VmStatus::kDeleted) {
      return false;
    }
    record.status = VmStatus::kDeleted;
    TRY(store_vm(*sql_, *seal_, record));
    TRY(
        sql_->execute("UPDATE vm SET owner_boot = NULL, claim_req = NULL, restore_seq = NULL, "
                      "restore_digest = NULL, restore_until = NULL WHERE vm_id = $1",
                      {value_of(vm_id)}));
    TRY(sql_->execute("DELETE FROM vm_key WHERE vm_id = $1", {value_of(vm_id)}));
    return true;
  });
}

}  // namespace keybroker::store
