// SPDX-License-Identifier: Apache-2.0
#include "keybroker/store/workload_keys.h"

#include <algorithm>
#include <charconv>

#include "keybroker/store/columns.h"
#include "keybroker/store/kek_row.h"
#include "keybroker/store/once.h"
#include "vmgs/crypto/digest.h"

namespace keybroker::store {

namespace {

using base::ErrorCode;

constexpr std::size_t kMostNameBytes = 127;

bool is_letter_digit_or_hyphen(char character) {
  return (character >= 'a' && character <= 'z') || (character >= 'A' && character <= 'Z') ||
         (character >= '0' && character <= '9') || character == '-';
}

constexpr std::string_view kAscending =
    "SELECT tenant_id, name, version, kind, content_key, sealed, kek_version, policy, immutable, "
    "created, seal FROM workload_key "
    "WHERE tenant_id = $1 AND name > $2 ORDER BY name, version LIMIT $3";
constexpr std::string_view kOne =
    "SELECT tenant_id, name, version, kind, content_key, sealed, kek_version, policy, immutable, "
    "created, seal FROM workload_key "
    "WHERE tenant_id = $1 AND name = $2 AND ($3 = 0 OR version = $3) ORDER BY version DESC LIMIT 1";
constexpr std::string_view kBefore =
    "SELECT tenant_id, name, version, kind, content_key, sealed, kek_version, policy, immutable, "
    "created, seal FROM workload_key "
    "WHERE tenant_id = $1 AND kek_version < $2 ORDER BY name, version LIMIT $3";

base::Result<WorkloadKey> read_key(const RecordSeal& seal, const Row& row) {
  TRY_ASSIGN(tenant, fixed<16>(row, 0));
  TRY_ASSIGN(name, column<std::string>(row, 1));
  TRY_ASSIGN(version, number(row, 2));
  TRY_ASSIGN(kind, word(row, 3, WorkloadKeyKind::kOct, WorkloadKeyKind::kEc));
  TRY_ASSIGN(content_key, column<base::Bytes>(row, 4));
  TRY_ASSIGN(sealed, column<base::Bytes>(row, 5));
  TRY_ASSIGN(kek_version, number(row, 6));
  TRY_ASSIGN(policy, fixed<32>(row, 7));
  TRY_ASSIGN(immutable, number(row, 8));
  TRY_ASSIGN(created, time_column(row, 9));
  TRY_ASSIGN(kept_seal, fixed<32>(row, 10));
  WorkloadKey key{tenant,
                  std::move(name),
                  version,
                  kind,
                  std::move(content_key),
                  std::move(sealed),
                  kek_version,
                  policy,
                  immutable != 0,
                  created};
  if (!vmgs::crypto::equal_in_constant_time(kept_seal, seal.of(key))) {
    return base::fail(ErrorCode::kAuthentication,
                      std::string(kRecordsAltered) + ": workload key '" + key.name + "' version " +
                          std::to_string(key.version) +
                          " is not as a broker with this records.key wrote it");
  }
  return key;
}

base::Result<std::vector<WorkloadKey>> read_keys(const RecordSeal& seal,
                                                 const std::vector<Row>& rows) {
  std::vector<WorkloadKey> keys;
  for (const auto& row : rows) {
    TRY_ASSIGN(key, read_key(seal, row));
    keys.push_back(std::move(key));
  }
  return keys;
}

auto no_such_key(std::string_view name) {
  return base::fail(ErrorCode::kNotFound,
                    "the tenant has no workload key '" + std::string(name) + "' of that version");
}

base::Result<void> expect_policy(Sql& sql, const Sha256Digest& policy) {
  TRY_ASSIGN(rows, sql.execute("SELECT created FROM policy WHERE digest = $1", {value_of(policy)}));
  if (rows.empty()) {
    return base::fail(ErrorCode::kNotFound, "policy " + base::to_hex(policy) + " is not on record");
  }
  return {};
}

std::string facts_of(std::string_view name, std::uint64_t version) {
  return R"("key":")" + std::string(name) + R"(","version":)" + std::to_string(version);
}

}  // namespace

std::string_view name(WorkloadKeyKind kind) {
  constexpr std::string_view kNames[] = {"oct", "RSA", "EC"};
  return kNames[static_cast<std::size_t>(kind) - 1];
}

bool is_workload_key_name(std::string_view name) {
  return !name.empty() && name.size() <= kMostNameBytes &&
         std::all_of(name.begin(), name.end(), is_letter_digit_or_hyphen);
}

base::Result<void> add_workload_key(BrokerRecords& records, const WorkloadKey& key,
                                    const Act& act) {
  if (!is_workload_key_name(key.name)) {
    return base::fail(ErrorCode::kInvalidArgument,
                      "a key's name is 1 to 127 letters, digits and hyphens");
  }
  auto& sql = records.sql();
  const auto its_act = with_facts(act, facts_of(key.name, key.version));
  return change(
      sql, tenant_subject(key.tenant), "workload-key-added", its_act, [&]() -> base::Result<bool> {
        TRY(records.tenant(key.tenant));
        TRY(expect_policy(sql, key.policy));
        TRY_ASSIGN(newest, sql.execute("SELECT coalesce(max(version), 0) FROM workload_key "
                                       "WHERE tenant_id = $1 AND name = $2",
                                       {value_of(key.tenant), key.name}));
        TRY_ASSIGN(before, number(newest.at(0), 0));
        if (key.version != before + 1) {
          return base::fail(ErrorCode::kDenied, "version " + std::to_string(key.version) +
                                                    " does not come after version " +
                                                    std::to_string(before));
        }
        TRY(expect_newest_kek(sql, key.tenant, key.kek_version));
        auto kept = key;
        kept.created = act.now;
        TRY(sql.execute(
            "INSERT INTO workload_key (tenant_id, name, version, kind, content_key, "
            "sealed, kek_version, policy, immutable, created, seal) "
            "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
            {value_of(kept.tenant), kept.name, value_of(kept.version), value_of(kept.kind),
             kept.content_key, kept.sealed, value_of(kept.kek_version), value_of(kept.policy),
             std::int64_t{kept.immutable ? 1 : 0}, value_of(kept.created),
             value_of(records.seal().of(kept))}));
        return true;
      });
}

base::Result<std::uint64_t> version_added_by(BrokerRecords& records, const Uuid& tenant,
                                             std::string_view name, const RequestId& request_id) {
  TRY_ASSIGN(rows, records.sql().execute(
                       "SELECT content FROM audit WHERE subject = $1 AND request_id = $2 "
                       "AND kind = 'workload-key-added'",
                       {value_of(tenant_subject(tenant)), value_of(request_id)}));
  if (!rows.empty()) {
    // What with_facts() has written: a name has no character that JSON escapes.
    TRY_ASSIGN(content, column<std::string>(rows[0], 0));
    const auto facts = R"({"key":")" + std::string(name) + R"(","version":)";
    std::uint64_t version = 0;
    if (content.starts_with(facts) &&
        std::from_chars(content.data() + facts.size(), content.data() + content.size(), version)
                .ec == std::errc()) {
      return version;
    }
  }
  return base::fail(ErrorCode::kDenied, "this request id was used for another request");
}

base::Result<WorkloadKey> workload_key(BrokerRecords& records, const Uuid& tenant,
                                       std::string_view name,
                                       std::optional<std::uint64_t> version) {
  if (version && !fits(*version)) {
    return no_such_key(name);
  }
  TRY_ASSIGN(rows, records.sql().execute(
                       kOne, {value_of(tenant), std::string(name), value_of(version.value_or(0))}));
  if (rows.empty() || version == std::uint64_t{0}) {
    return no_such_key(name);
  }
  return read_key(records.seal(), rows[0]);
}

base::Result<std::vector<WorkloadKey>> workload_keys(BrokerRecords& records, const Uuid& tenant,
                                                     std::string_view after, std::size_t most) {
  TRY_ASSIGN(rows, records.sql().execute(kAscending, {value_of(tenant), std::string(after),
                                                      value_of(static_cast<std::uint64_t>(most))}));
  return read_keys(records.seal(), rows);
}

base::Result<std::vector<WorkloadKey>> workload_keys_before(BrokerRecords& records,
                                                            const Uuid& tenant,
                                                            std::uint64_t kek_version,
                                                            std::size_t most) {
  TRY_ASSIGN(rows, records.sql().execute(kBefore, {value_of(tenant), value_of(kek_version),
                                                   value_of(static_cast<std::uint64_t>(most))}));
  return read_keys(records.seal(), rows);
}

base::Result<void> rewrap_workload_key(BrokerRecords& records, const WorkloadKey& key,
                                       const base::Bytes& content_key, std::uint64_t kek_version,
                                       const Act& act) {
  const auto its_act = with_facts(act, facts_of(key.name, key.version));
  return change(records.sql(), tenant_subject(key.tenant), "workload-key-rewrapped", its_act,
                [&]() -> base::Result<bool> {
                  // Forward only: two that rewrap at once leave the newer.
                  TRY_ASSIGN(rows, records.sql().execute(
                                       "UPDATE workload_key SET content_key = $4, kek_version = $5 "
                                       "WHERE tenant_id = $1 AND name = $2 AND version = $3 "
                                       "AND kek_version < $5 RETURNING version",
                                       {value_of(key.tenant), key.name, value_of(key.version),
                                        content_key, value_of(kek_version)}));
                  return !rows.empty();
                });
}

base::Result<void> set_workload_key_policy(BrokerRecords& records, const Uuid& tenant,
                                           std::string_view name, std::uint64_t version,
                                           const Sha256Digest& policy, const Act& act) {
  auto& sql = records.sql();
  const auto its_act = with_facts(act, facts_of(name, version));
  return change(
      sql, tenant_subject(tenant), "workload-key-policy", its_act, [&]() -> base::Result<bool> {
        TRY(expect_policy(sql, policy));
        TRY_ASSIGN(key, workload_key(records, tenant, name, version));
        if (key.policy == policy) {
          return false;
        }
        if (key.immutable) {
          return base::fail(ErrorCode::kDenied, "the key's policy is immutable; make a new key");
        }
        const auto before = records.seal().of(key);
        key.policy = policy;
        TRY_ASSIGN(rows, sql.execute("UPDATE workload_key SET policy = $4, seal = $5 "
                                     "WHERE tenant_id = $1 AND name = $2 AND version = $3 "
                                     "AND seal = $6 RETURNING version",
                                     {value_of(tenant), std::string(name), value_of(key.version),
                                      value_of(policy), value_of(records.seal().of(key)),
                                      value_of(before)}));
        if (rows.empty()) {
          return base::fail(ErrorCode::kDenied, "the key was changed meanwhile; look at it again");
        }
        return true;
      });
}

base::Result<void> delete_workload_key(BrokerRecords& records, const Uuid& tenant,
                                       std::string_view name, const Act& act) {
  const auto its_act = with_facts(act, R"("key":")" + std::string(name) + "\"");
  return change(records.sql(), tenant_subject(tenant), "workload-key-deleted", its_act,
                [&]() -> base::Result<bool> {
                  TRY_ASSIGN(rows,
                             records.sql().execute(
                                 "DELETE FROM workload_key WHERE tenant_id = $1 AND name = $2 "
                                 "RETURNING version",
                                 {value_of(tenant), std::string(name)}));
                  if (rows.empty()) {
                    return no_such_key(name);
                  }
                  return true;
                });
}

}  // namespace keybroker::store
