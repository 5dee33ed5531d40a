// SPDX-License-Identifier: Apache-2.0
#include "keybroker/store/schema.h"

#include <algorithm>
#include <span>
#include <string>
#include <utility>

namespace keybroker::store {

namespace {

using base::ErrorCode;

// What SQLite and PostgreSQL both take. SQLite reads bytea and bigint as names of its own types.
// Sequences count from 1; times are seconds since 1970; digests are SHA-256. A seal is that of
// record_seal.h over the row and what goes with it; a subject is that of subject.h.
constexpr std::string_view kVersion1[] = {
    R"(CREATE TABLE tenant (
         tenant_id bytea NOT NULL PRIMARY KEY CHECK (length(tenant_id) = 16),
         name text NOT NULL,
         created bigint NOT NULL))",
    R"(CREATE TABLE kek (
         tenant_id bytea NOT NULL REFERENCES tenant,
         version bigint NOT NULL CHECK (version > 0),
         provider text NOT NULL,
         wrapped bytea NOT NULL,
         uri text NOT NULL,
         created bigint NOT NULL,
         PRIMARY KEY (tenant_id, version)))",
    R"(CREATE TABLE policy (
         digest bytea NOT NULL PRIMARY KEY CHECK (length(digest) = 32),
         content text NOT NULL,
         created bigint NOT NULL))",
    // No index on a column that a boot changes. The previous_ columns are one launch, or NULL.
    R"(CREATE TABLE vm (
         vm_id bytea NOT NULL PRIMARY KEY CHECK (length(vm_id) = 16),
         tenant_id bytea NOT NULL REFERENCES tenant,
         subject bytea NOT NULL CHECK (length(subject) = 17),
         status text NOT NULL,
         conf_version bigint NOT NULL,
         launch_document bytea NOT NULL,
         launch_digest bytea NOT NULL CHECK (length(launch_digest) = 48),
         family bigint NOT NULL,
         protection bigint NOT NULL,
         execution_policy bytea,
         previous_document bytea,
         previous_digest bytea,
         previous_family bigint,
         previous_protection bigint,
         previous_execution_policy bytea,
         previous_until bigint,
         root_class bigint NOT NULL,
         lifetime bigint NOT NULL,
         origin bigint NOT NULL,
         fde_mode text NOT NULL,
         cloned_from bytea,
         clone_pending bigint NOT NULL,
         region text NOT NULL,
         created bigint NOT NULL,
         epoch bigint NOT NULL,
         owner_boot bytea,
         claim_req bytea,
         lease_until bigint NOT NULL,
         a_epoch bigint NOT NULL,
         a_seq bigint,
         a_digest bytea,
         a_req bytea,
         ek_name bytea NOT NULL,
         ak_name bytea NOT NULL,
         restores bigint NOT NULL,
         restore_seq bigint,
         restore_digest bytea,
         restore_until bigint,
         seal bytea NOT NULL))",
    "CREATE INDEX vm_by_tenant ON vm (tenant_id, vm_id)",
    R"(CREATE TABLE vm_key (
         vm_id bytea NOT NULL REFERENCES vm,
         version bigint NOT NULL CHECK (version > 0),
         wrapped bytea NOT NULL,
         kek_version bigint NOT NULL,
         created bigint NOT NULL,
         retired bigint,
         PRIMARY KEY (vm_id, version)))",
    R"(CREATE TABLE vm_policy (
         vm_id bytea NOT NULL REFERENCES vm,
         owner bytea NOT NULL REFERENCES tenant,
         digest bytea NOT NULL REFERENCES policy,
         PRIMARY KEY (vm_id, owner, digest)))",
    R"(CREATE TABLE nonce_used (
         vm_id bytea NOT NULL,
         nonce bytea NOT NULL CHECK (length(nonce) = 32),
         expires bigint NOT NULL,
         PRIMARY KEY (vm_id, nonce)))",
    "CREATE INDEX nonce_used_by_end ON nonce_used (expires)",
    // Requests that changed something, so that a repeated one is known. `repeats` is written when
    // it is: the answer then waits for the commit of the first as well.
    R"(CREATE TABLE request (
         subject bytea NOT NULL,
         request_id bytea NOT NULL CHECK (length(request_id) = 16),
         kind text NOT NULL,
         digest bytea NOT NULL,
         answer bytea NOT NULL,
         repeats bigint NOT NULL,
         time bigint NOT NULL,
         PRIMARY KEY (subject, request_id)))",
    "CREATE INDEX request_by_time ON request (time)",
    R"(CREATE TABLE anchor (
         vm_id bytea NOT NULL,
         epoch bigint NOT NULL,
         seq bigint NOT NULL,
         digest bytea NOT NULL CHECK (length(digest) = 32),
         kind text NOT NULL,
         restores bigint NOT NULL,
         request_id bytea NOT NULL,
         time bigint NOT NULL,
         PRIMARY KEY (vm_id, epoch, seq)))",
    R"(CREATE TABLE audit (
         subject bytea NOT NULL CHECK (length(subject) = 17),
         seq bigint NOT NULL,
         time bigint NOT NULL,
         kind text NOT NULL,
         reason text NOT NULL,
         request_id bytea NOT NULL,
         content text NOT NULL,
         hash bytea NOT NULL CHECK (length(hash) = 32),
         PRIMARY KEY (subject, seq)))",
    "CREATE INDEX audit_by_time ON audit (time, subject, seq)",
    R"(CREATE TABLE chain (
         subject bytea NOT NULL PRIMARY KEY,
         seq bigint NOT NULL,
         head bytea NOT NULL CHECK (length(head) = 32)))",
    R"(CREATE TABLE checkpoint (
         id bigint NOT NULL PRIMARY KEY,
         time bigint NOT NULL,
         count bigint NOT NULL,
         root bytea NOT NULL,
         previous bytea NOT NULL,
         signature bytea NOT NULL))",
    // The chains that had moved since the checkpoint before.
    R"(CREATE TABLE checkpoint_head (
         subject bytea NOT NULL,
         checkpoint bigint NOT NULL REFERENCES checkpoint,
         seq bigint NOT NULL,
         head bytea NOT NULL,
         PRIMARY KEY (subject, checkpoint)))",
};

// An authority's records: those of certificate_database.cc in the common subset. Concurrent
// programs may give one number to certificates of different VMs, which is order enough.
constexpr std::string_view kVersion2[] = {
    R"(CREATE TABLE certificate (
         number bigint NOT NULL,
         serial bytea NOT NULL PRIMARY KEY,
         class text NOT NULL,
         certified text NOT NULL,
         vm_id bytea NOT NULL CHECK (length(vm_id) = 16),
         statement text NOT NULL,
         not_after bigint NOT NULL,
         certificate bytea NOT NULL,
         revoked_at bigint))",
    "CREATE INDEX certificate_by_number ON certificate (number)",
    "CREATE INDEX certificate_by_vm ON certificate (vm_id)",
    "CREATE INDEX certificate_by_end ON certificate (not_after)",
    "CREATE TABLE ek (vm_id bytea NOT NULL PRIMARY KEY, public_area bytea NOT NULL)",
    "CREATE TABLE crl (class text NOT NULL PRIMARY KEY, number bigint NOT NULL)",
};

// Keys of tenants for what runs in their VMs. Nothing joins them with those of the VMs' states.
constexpr std::string_view kVersion3[] = {
    R"(CREATE TABLE workload_key (
         tenant_id bytea NOT NULL REFERENCES tenant,
         name text NOT NULL CHECK (length(name) BETWEEN 1 AND 127),
         version bigint NOT NULL CHECK (version > 0),
         kind bigint NOT NULL,
         content_key bytea NOT NULL,
         sealed bytea NOT NULL,
         kek_version bigint NOT NULL,
         policy bytea NOT NULL REFERENCES policy,
         immutable bigint NOT NULL,
         created bigint NOT NULL,
         seal bytea NOT NULL,
         PRIMARY KEY (tenant_id, name, version)))",
};

struct Version {
  std::span<const std::string_view> common;
  std::span<const std::string_view> postgres;  // what only PostgreSQL has, after that
};

// Rows that every boot changes leave room in their page, so that the new version stays in it.
constexpr std::string_view kVersion1Postgres[] = {
    "ALTER TABLE vm SET (fillfactor = 70)",
    "ALTER TABLE chain SET (fillfactor = 70)",
};

const Version kVersions[] = {{kVersion1, kVersion1Postgres}, {kVersion2, {}}, {kVersion3, {}}};

// Forms 1 to 3 were never released: they had neither seals nor subjects. Nothing brings them here.
// The first of kVersions makes form 4.
constexpr std::uint64_t kUnreleased = 3;
constexpr std::uint64_t kNewest = kUnreleased + std::size(kVersions);

constexpr const char* kProduct = "strongroom.broker";

// A file of another program has no table of versions, but others.
base::Result<void> check_ours(Sql& sql) {
  if (!sql.is_sqlite()) {
    return {};
  }
  TRY_ASSIGN(tables, sql.execute("SELECT count(*), coalesce(sum(name = 'schema_version'), 0) "
                                 "FROM sqlite_schema WHERE type = 'table'",
                                 {}));
  const bool empty = tables.at(0).at(0) == Value(std::int64_t{0});
  if (!empty && tables.at(0).at(1) != Value(std::int64_t{1})) {
    return base::fail(ErrorCode::kCorrupt, "this is some other program's database");
  }
  return {};
}

base::Result<void> make_version_table(Sql& sql) {
  TRY(
      sql.execute("CREATE TABLE IF NOT EXISTS schema_version "
                  "(product text NOT NULL PRIMARY KEY, version bigint NOT NULL)",
                  {}));
  TRY(sql.execute("INSERT INTO schema_version VALUES ($1, 0) ON CONFLICT (product) DO NOTHING",
                  {std::string(kProduct)}));
  return {};
}

// read_version() runs a statement that gives the version on record.
base::Result<std::uint64_t> read_version(Sql& sql, std::string_view statement) {
  TRY_ASSIGN(rows, sql.execute(statement, {std::string(kProduct)}));
  if (rows.empty() || !std::holds_alternative<std::int64_t>(rows[0].at(0))) {
    return base::fail(ErrorCode::kCorrupt, "this is some other program's database");
  }
  const auto version = static_cast<std::uint64_t>(std::get<std::int64_t>(rows[0][0]));
  if (version > kNewest) {
    return base::fail(ErrorCode::kDenied, "the records have form " + std::to_string(version) +
                                              ", and this program knows form " +
                                              std::to_string(kNewest) +
                                              ". A newer one has written them; use that one");
  }
  if (version != 0 && version <= kUnreleased) {
    return base::fail(ErrorCode::kDenied, "the records have form " + std::to_string(version) +
                                              ", of before the first release, which is not " +
                                              "carried over. Begin with an empty database");
  }
  return version;
}

// advance() makes the next version, if one is missing: true once none is. Nothing is written then.
base::Result<bool> advance(Sql& sql) {
  TRY_ASSIGN(seen, read_version(sql, "SELECT version FROM schema_version WHERE product = $1"));
  if (seen == kNewest) {
    return true;
  }
  // The update holds the row, so that of two programs the second waits and finds it done.
  TRY_ASSIGN(version, read_version(sql,
                                   "UPDATE schema_version SET version = version "
                                   "WHERE product = $1 RETURNING version"));
  if (version == kNewest) {
    return true;
  }
  const auto made = std::max(version, kUnreleased);
  for (const auto statement : kVersions[made - kUnreleased].common) {
    TRY(sql.execute(statement, {}));
  }
  if (!sql.is_sqlite()) {
    for (const auto statement : kVersions[made - kUnreleased].postgres) {
      TRY(sql.execute(statement, {}));
    }
  }
  TRY(sql.execute("UPDATE schema_version SET version = $2 WHERE product = $1",
                  {std::string(kProduct), static_cast<std::int64_t>(made + 1)}));
  return false;
}

}  // namespace

base::Result<bool> have_tenants(Sql& sql) {
  TRY_ASSIGN(rows, sql.execute("SELECT count(*) FROM tenant", {}));
  return rows.at(0).at(0) != Value(std::int64_t{0});
}

base::Result<void> migrate(Sql& sql) {
  TRY(check_ours(sql));
  const auto begin = [&sql]() -> base::Result<Then> {
    TRY(make_version_table(sql));
    return Then::kCommit;
  };
  bool done = false;
  const auto next = [&sql, &done]() -> base::Result<Then> {
    TRY_ASSIGN(is_done, advance(sql));
    done = is_done;
    return Then::kCommit;
  };
  auto begun = sql.transaction(begin);
  if (!begun && begun.error().code == ErrorCode::kDenied) {
    // PostgreSQL: of two that make one table at once, IF NOT EXISTS or not, the second may fail.
    begun = sql.transaction(begin);
  }
  TRY(std::move(begun));
  // Whether a version whose outcome is unknown was made shows when it is asked for again.
  while (!done) {
    TRY(sql.transaction(next));
  }
  return {};
}

}  // namespace keybroker::store
