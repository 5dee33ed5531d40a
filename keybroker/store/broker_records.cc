// SPDX-License-Identifier: Apache-2.0
#include "keybroker/store/broker_records.h"

#include <utility>

#include "keybroker/protocol/uuid.h"
#include "keybroker/store/columns.h"
#include "keybroker/store/kek_row.h"
#include "keybroker/store/once.h"
#include "keybroker/store/schema.h"

namespace keybroker::store {

namespace {

using base::ErrorCode;

base::Result<Tenant> read_tenant(const Row& row) {
  TRY_ASSIGN(tenant_id, fixed<16>(row, 0));
  TRY_ASSIGN(name, column<std::string>(row, 1));
  TRY_ASSIGN(created, time_column(row, 2));
  return Tenant{tenant_id, std::move(name), created};
}

base::Result<Kek> read_kek(const std::vector<Row>& rows) {
  if (rows.empty()) {
    return base::fail(ErrorCode::kNotFound, "the tenant has no such key-encryption key");
  }
  TRY_ASSIGN(tenant, fixed<16>(rows[0], 0));
  TRY_ASSIGN(version, number(rows[0], 1));
  TRY_ASSIGN(provider, column<std::string>(rows[0], 2));
  TRY_ASSIGN(wrapped, column<base::Bytes>(rows[0], 3));
  TRY_ASSIGN(uri, column<std::string>(rows[0], 4));
  return Kek{tenant, version, std::move(provider), std::move(wrapped), std::move(uri)};
}

base::Result<VmKey> read_vm_key(const std::vector<Row>& rows) {
  if (rows.empty()) {
    return base::fail(ErrorCode::kNotFound, "the VM has no such key");
  }
  TRY_ASSIGN(version, number(rows[0], 0));
  TRY_ASSIGN(wrapped, column<base::Bytes>(rows[0], 1));
  TRY_ASSIGN(kek_version, number(rows[0], 2));
  return VmKey{version, std::move(wrapped), kek_version};
}

// next_version() checks that `version` is the one after the newest of `rows`, one row with the
// newest, or none; `same` tells that the newest is what is to be added. False if so.
base::Result<bool> is_next(std::uint64_t newest, bool same, std::uint64_t version) {
  if (same) {
    return false;
  }
  if (version != newest + 1) {
    return base::fail(ErrorCode::kDenied, "version " + std::to_string(version) +
                                              " does not come after version " +
                                              std::to_string(newest));
  }
  return true;
}

}  // namespace

base::Result<BrokerRecords> BrokerRecords::over(std::unique_ptr<Sql> sql,
                                                std::shared_ptr<const RecordSeal> seal) {
  TRY(migrate(*sql));
  return BrokerRecords(std::move(sql), std::move(seal));
}

base::Result<bool> BrokerRecords::create_tenant(const Tenant& tenant, const Act& act) {
  bool created = false;
  const auto insert = [&]() -> base::Result<bool> {
    TRY_ASSIGN(vms, sql_->execute("SELECT created FROM vm WHERE vm_id = $1",
                                  {value_of(tenant.tenant_id)}));
    if (!vms.empty()) {
      return base::fail(ErrorCode::kDenied, "this id is a VM's; draw another");
    }
    TRY_ASSIGN(rows, sql_->execute("INSERT INTO tenant (tenant_id, name, created) "
                                   "VALUES ($1, $2, $3) ON CONFLICT (tenant_id) DO NOTHING "
                                   "RETURNING created",
                                   {value_of(tenant.tenant_id), tenant.name, value_of(act.now)}));
    created = !rows.empty();
    if (!created) {
      TRY_ASSIGN(known, this->tenant(tenant.tenant_id));
      if (known.name != tenant.name) {
        return base::fail(ErrorCode::kDenied, "this tenant id is registered under another name");
      }
    }
    return created;
  };
  TRY(change(*sql_, tenant_subject(tenant.tenant_id), "tenant-created", act, insert));
  return created;
}

base::Result<Tenant> BrokerRecords::tenant(const Uuid& tenant_id) {
  TRY_ASSIGN(rows, sql_->execute("SELECT tenant_id, name, created FROM tenant WHERE tenant_id = $1",
                                 {value_of(tenant_id)}));
  if (rows.empty()) {
    return base::fail(ErrorCode::kNotFound,
                      "tenant " + protocol::uuid_text(tenant_id) + " is not on record");
  }
  return read_tenant(rows[0]);
}

base::Result<std::vector<Tenant>> BrokerRecords::tenants() {
  TRY_ASSIGN(rows,
             sql_->execute("SELECT tenant_id, name, created FROM tenant ORDER BY tenant_id", {}));
  std::vector<Tenant> tenants;
  for (const auto& row : rows) {
    TRY_ASSIGN(tenant, read_tenant(row));
    tenants.push_back(std::move(tenant));
  }
  return tenants;
}

base::Result<void> BrokerRecords::add_kek(const Kek& kek, const Act& act) {
  return change(*sql_, tenant_subject(kek.tenant), kKekAdded, act, [&]() -> base::Result<bool> {
    TRY(tenant(kek.tenant));
    TRY(hold_keks(*sql_, kek.tenant));
    auto newest = newest_kek(kek.tenant);
    if (!newest && newest.error().code != ErrorCode::kNotFound) {
      return base::fail(std::move(newest).error());
    }
    TRY_ASSIGN(is_new,
               is_next(newest ? newest->version : 0, newest && *newest == kek, kek.version));
    if (is_new) {
      TRY(
          sql_->execute("INSERT INTO kek (tenant_id, version, provider, wrapped, uri, created) "
                        "VALUES ($1, $2, $3, $4, $5, $6)",
                        {value_of(kek.tenant), value_of(kek.version), kek.provider, kek.wrapped,
                         kek.uri, value_of(act.now)}));
    }
    return is_new;
  });
}

base::Result<Kek> BrokerRecords::kek(const Uuid& tenant, std::uint64_t version) {
  TRY_ASSIGN(rows, sql_->execute("SELECT tenant_id, version, provider, wrapped, uri FROM kek "
                                 "WHERE tenant_id = $1 AND version = $2",
                                 {value_of(tenant), value_of(version)}));
  return read_kek(rows);
}

base::Result<Kek> BrokerRecords::newest_kek(const Uuid& tenant) {
  TRY_ASSIGN(rows, sql_->execute("SELECT tenant_id, version, provider, wrapped, uri FROM kek "
                                 "WHERE tenant_id = $1 ORDER BY version DESC LIMIT 1",
                                 {value_of(tenant)}));
  return read_kek(rows);
}

base::Result<void> BrokerRecords::put_policy(const Sha256Digest& digest, std::string_view text,
                                             crypto::Time now) {
  return settle(*sql_, [&]() -> base::Result<Then> {
    // The update writes, so that a policy that is there already is durable as well.
    TRY_ASSIGN(rows, sql_->execute("INSERT INTO policy (digest, content, created) "
                                   "VALUES ($1, $2, $3) ON CONFLICT (digest) "
                                   "DO UPDATE SET content = policy.content RETURNING content",
                                   {value_of(digest), std::string(text), value_of(now)}));
    TRY_ASSIGN(content, column<std::string>(rows.at(0), 0));
    if (content != text) {
      return base::fail(ErrorCode::kDenied, "another policy is on record under this digest");
    }
    return Then::kCommit;
  });
}

base::Result<std::string> BrokerRecords::policy(const Sha256Digest& digest) {
  TRY_ASSIGN(rows,
             sql_->execute("SELECT content FROM policy WHERE digest = $1", {value_of(digest)}));
  if (rows.empty()) {
    return base::fail(ErrorCode::kNotFound, "policy " + base::to_hex(digest) + " is not on record");
  }
  return column<std::string>(rows[0], 0);
}

base::Result<VmKey> BrokerRecords::vm_key(const Uuid& vm_id, std::uint64_t version) {
  TRY_ASSIGN(rows, sql_->execute("SELECT version, wrapped, kek_version FROM vm_key "
                                 "WHERE vm_id = $1 AND version = $2",
                                 {value_of(vm_id), value_of(version)}));
  return read_vm_key(rows);
}

base::Result<VmKey> BrokerRecords::newest_vm_key(const Uuid& vm_id) {
  TRY_ASSIGN(rows, sql_->execute("SELECT version, wrapped, kek_version FROM vm_key "
                                 "WHERE vm_id = $1 ORDER BY version DESC LIMIT 1",
                                 {value_of(vm_id)}));
  return read_vm_key(rows);
}

base::Result<void> BrokerRecords::add_vm_key(const Uuid& vm_id, const VmKey& key, const Act& act) {
  return change(*sql_, vm_subject(vm_id), "key-added", act, [&]() -> base::Result<bool> {
    TRY_ASSIGN(newest, newest_vm_key(vm_id));
    TRY_ASSIGN(is_new, is_next(newest.version, newest == key, key.version));
    if (is_new) {
      TRY_ASSIGN(record, vm(vm_id));
      TRY(expect_newest_kek(*sql_, record.registration.tenant, key.kek_version));
      TRY(sql_->execute("UPDATE vm_key SET retired = $3 WHERE vm_id = $1 AND version = $2",
                        {value_of(vm_id), value_of(newest.version), value_of(act.now)}));
      TRY(
          sql_->execute("INSERT INTO vm_key (vm_id, version, wrapped, kek_version, created) "
                        "VALUES ($1, $2, $3, $4, $5)",
                        {value_of(vm_id), value_of(key.version), key.wrapped,
                         value_of(key.kek_version), value_of(act.now)}));
    }
    return is_new;
  });
}

base::Result<void> BrokerRecords::rewrap_vm_key(const Uuid& vm_id, const VmKey& key,
                                                const Act& act) {
  return change(*sql_, vm_subject(vm_id), "key-rewrapped", act, [&]() -> base::Result<bool> {
    // Forward only: two that rewrap at once leave the newer.
    TRY_ASSIGN(rows, sql_->execute("UPDATE vm_key SET wrapped = $3, kek_version = $4 "
                                   "WHERE vm_id = $1 AND version = $2 AND kek_version < $4 "
                                   "RETURNING version",
                                   {value_of(vm_id), value_of(key.version), key.wrapped,
                                    value_of(key.kek_version)}));
    if (rows.empty()) {
      TRY(vm_key(vm_id, key.version));
    }
    return !rows.empty();
  });
}

base::Result<std::vector<AuditRow>> BrokerRecords::log(const LogQuery& query) {
  if (query.most > 10'000) {
    return base::fail(ErrorCode::kInvalidArgument, "a page of the log has at most 10000 lines");
  }
  const auto before_time = query.before ? query.before->time : crypto::Time::max();
  const Subject before_subject = query.before ? query.before->subject : Subject{};
  const std::uint64_t before_sequence = query.before ? query.before->sequence : 0;
  std::vector<Value> parameters = {value_of(before_time), value_of(before_subject),
                                   value_of(before_sequence), static_cast<std::int64_t>(query.most),
                                   query.kind.value_or("")};
  std::string_view statement =
      "SELECT subject, seq, time, kind, reason, request_id, content, hash FROM audit "
      "WHERE (time, subject, seq) < ($1, $2, $3) AND ($5 = '' OR kind = $5) "
      "ORDER BY time DESC, subject DESC, seq DESC LIMIT $4";
  if (query.subject) {
    parameters.push_back(value_of(*query.subject));
    statement =
        "SELECT subject, seq, time, kind, reason, request_id, content, hash FROM audit "
        "WHERE subject = $6 AND (time, subject, seq) < ($1, $2, $3) "
        "AND ($5 = '' OR kind = $5) "
        "ORDER BY time DESC, subject DESC, seq DESC LIMIT $4";
  } else if (query.vms_of) {
    parameters.push_back(value_of(*query.vms_of));
    statement =
        "SELECT a.subject, a.seq, a.time, a.kind, a.reason, a.request_id, a.content, a.hash "
        "FROM vm v JOIN audit a ON a.subject = v.subject "
        "WHERE v.tenant_id = $6 AND (a.time, a.subject, a.seq) < ($1, $2, $3) "
        "AND ($5 = '' OR a.kind = $5) "
        "ORDER BY a.time DESC, a.subject DESC, a.seq DESC LIMIT $4";
  }
  TRY_ASSIGN(rows, sql_->execute(statement, parameters));
  std::vector<AuditRow> lines;
  for (const auto& row : rows) {
    TRY_ASSIGN(line, read_audit_row(row));
    lines.push_back(std::move(line));
  }
  return lines;
}

base::Result<AuditRow> BrokerRecords::log_line(const Subject& subject, std::uint64_t sequence) {
  if (!fits(sequence)) {
    return base::fail(ErrorCode::kInvalidArgument, "no log has so many lines");
  }
  TRY_ASSIGN(rows,
             sql_->execute("SELECT subject, seq, time, kind, reason, request_id, content, hash "
                           "FROM audit WHERE subject = $1 AND seq = $2",
                           {value_of(subject), value_of(sequence)}));
  if (rows.empty()) {
    return base::fail(ErrorCode::kNotFound, "the log has no such line");
  }
  return read_audit_row(rows[0]);
}

}  // namespace keybroker::store
