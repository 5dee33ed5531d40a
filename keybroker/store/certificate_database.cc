// SPDX-License-Identifier: Apache-2.0
#include "keybroker/store/certificate_database.h"

#include <algorithm>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "keybroker/store/sqlite.h"

namespace keybroker::store {

namespace {

using authority::CertificateRecord;
using base::ErrorCode;
using evidence::AkClass;

// "SrAk", so that another program's database is not taken for ours.
constexpr std::int64_t kApplicationId = 0x5372416b;

// Of kSchema. The first had no column `certified`.
constexpr std::int64_t kVersion = 2;

constexpr std::string_view kSchema[] = {
    R"(CREATE TABLE certificate (
         number INTEGER PRIMARY KEY AUTOINCREMENT,
         serial BLOB NOT NULL UNIQUE,
         class TEXT NOT NULL,
         certified TEXT NOT NULL,
         vm_id BLOB NOT NULL CHECK (length(vm_id) = 16),
         statement TEXT NOT NULL,
         not_after INTEGER NOT NULL,
         certificate BLOB NOT NULL,
         revoked_at INTEGER
       ) STRICT)",
    "CREATE INDEX certificate_by_vm ON certificate (vm_id)",
    "CREATE INDEX certificate_by_end ON certificate (not_after)",
    "CREATE TABLE ek (vm_id BLOB NOT NULL PRIMARY KEY, public_area BLOB NOT NULL) "
    "STRICT, WITHOUT ROWID",
    "CREATE TABLE crl (class TEXT NOT NULL PRIMARY KEY, number INTEGER NOT NULL) "
    "STRICT, WITHOUT ROWID",
    "PRAGMA application_id = 0x5372416b",
    "PRAGMA user_version = 2",
};

std::int64_t seconds(crypto::Time time) { return time.time_since_epoch().count(); }

crypto::Time time_of(const Value& value) {
  return crypto::Time(std::chrono::seconds(std::get<std::int64_t>(value)));
}

}  // namespace

base::Result<CertificateDatabase> CertificateDatabase::open(const std::filesystem::path& path) {
  TRY_ASSIGN(sql, open_sqlite(path));
  CertificateDatabase database(std::move(sql));
  if (auto ready = database.set_up(); !ready) {
    return base::fail(std::move(ready).error().context(path.string()));
  }
  return database;
}

base::Result<void> CertificateDatabase::set_up() {
  TRY_ASSIGN(application, sql_->execute("PRAGMA application_id", {}));
  TRY_ASSIGN(tables, sql_->execute("SELECT count(*) FROM sqlite_schema", {}));
  const bool empty = std::get<std::int64_t>(tables.at(0).at(0)) == 0;
  if (!empty && std::get<std::int64_t>(application.at(0).at(0)) != kApplicationId) {
    return base::fail(ErrorCode::kCorrupt, "this is some other program's database");
  }
  TRY_ASSIGN(versions, sql_->execute("PRAGMA user_version", {}));
  const auto version = std::get<std::int64_t>(versions.at(0).at(0));
  if (!empty && version != kVersion) {
    return base::fail(ErrorCode::kDenied,
                      "it has form " + std::to_string(version) + ", and this program knows form " +
                          std::to_string(kVersion) +
                          (version > kVersion ? ". A newer one has written it; use that one"
                                              : ". An early one has written it; move the "
                                                "authority's folder away to begin with a "
                                                "new authority, and start each VM anew"));
  }
  if (!empty) {
    return {};
  }
  const auto make = [this]() -> base::Result<Then> {
    for (const auto statement : kSchema) {
      TRY(sql_->execute(statement, {}));
    }
    return Then::kCommit;
  };
  TRY(sql_->transaction(make));
  return {};
}

base::Result<void> CertificateDatabase::add(const CertificateRecord& record) {
  TRY(sql_->execute(
      "INSERT INTO certificate "
      "(number, serial, class, certified, vm_id, statement, not_after, certificate) "
      "SELECT coalesce(max(number), 0) + 1, $1, $2, $3, $4, $5, $6, $7 FROM certificate",
      {record.serial, std::string(name(record.statement.ak_class)),
       std::string(name(record.certified)), base::copy_of(record.statement.vm_id),
       encode(record.statement), seconds(record.not_after), record.certificate}));
  return {};
}

base::Result<std::vector<CertificateRecord>> CertificateDatabase::of_vm(
    const protocol::Uuid& vm_id) {
  TRY_ASSIGN(
      rows, sql_->execute("SELECT serial, statement, not_after, certificate, revoked_at, certified "
                          "FROM certificate WHERE vm_id = $1 ORDER BY number",
                          {base::copy_of(vm_id)}));
  std::vector<CertificateRecord> records;
  for (auto& row : rows) {
    TRY_ASSIGN(statement, evidence::decode_ak_statement(std::get<std::string>(row[1])));
    const auto certified = authority::parse_certified_key(std::get<std::string>(row[5]));
    if (!certified) {
      return base::fail(ErrorCode::kCorrupt, "AK certificate records: a certificate is for no key");
    }
    CertificateRecord record{std::get<base::Bytes>(row[0]), *certified, std::move(statement),
                             time_of(row[2]), std::get<base::Bytes>(row[3])};
    if (std::holds_alternative<std::int64_t>(row[4])) {
      record.revoked = time_of(row[4]);
    }
    records.push_back(std::move(record));
  }
  return records;
}

base::Result<void> CertificateDatabase::revoke(base::ByteView serial, crypto::Time when) {
  TRY_ASSIGN(rows, sql_->execute("UPDATE certificate SET revoked_at = coalesce(revoked_at, $1) "
                                 "WHERE serial = $2 RETURNING number",
                                 {seconds(when), base::copy_of(serial)}));
  if (rows.empty()) {
    return base::fail(ErrorCode::kNotFound, "no certificate with this serial number was issued");
  }
  return {};
}

base::Result<std::vector<crypto::Crl::Entry>> CertificateDatabase::revoked(AkClass ak_class,
                                                                           crypto::Time now) {
  TRY_ASSIGN(rows, sql_->execute("SELECT serial, revoked_at FROM certificate "
                                 "WHERE class = $1 AND revoked_at IS NOT NULL AND not_after >= $2 "
                                 "ORDER BY number",
                                 {std::string(name(ak_class)), seconds(now)}));
  std::vector<crypto::Crl::Entry> entries;
  for (auto& row : rows) {
    entries.push_back({std::get<base::Bytes>(row[0]), time_of(row[1])});
  }
  return entries;
}

base::Result<void> CertificateDatabase::register_ek(const protocol::Uuid& vm_id,
                                                    base::ByteView ek) {
  // The same key again changes nothing.
  TRY_ASSIGN(rows, sql_->execute("INSERT INTO ek VALUES ($1, $2) ON CONFLICT (vm_id) DO UPDATE "
                                 "SET public_area = ek.public_area RETURNING public_area",
                                 {base::copy_of(vm_id), base::copy_of(ek)}));
  if (std::get<base::Bytes>(rows.at(0).at(0)) != base::copy_of(ek)) {
    return base::fail(ErrorCode::kDenied, "another endorsement key is registered for this VM");
  }
  return {};
}

base::Result<void> CertificateDatabase::forget_ek(const protocol::Uuid& vm_id) {
  TRY(sql_->execute("DELETE FROM ek WHERE vm_id = $1", {base::copy_of(vm_id)}));
  return {};
}

base::Result<base::Bytes> CertificateDatabase::ek_of(const protocol::Uuid& vm_id) {
  TRY_ASSIGN(rows,
             sql_->execute("SELECT public_area FROM ek WHERE vm_id = $1", {base::copy_of(vm_id)}));
  if (rows.empty()) {
    return base::fail(ErrorCode::kNotFound, "no endorsement key is registered for this VM");
  }
  return std::get<base::Bytes>(rows[0][0]);
}

base::Result<bool> CertificateDatabase::has_certified(const protocol::Uuid& vm_id,
                                                      crypto::Time now) {
  TRY_ASSIGN(rows,
             sql_->execute("SELECT count(DISTINCT certified) FROM certificate WHERE vm_id = $1 "
                           "AND revoked_at IS NULL AND not_after >= $2 AND certified IN ($3, $4)",
                           {base::copy_of(vm_id), seconds(now),
                            std::string(name(authority::CertifiedKey::kAk)),
                            std::string(name(authority::CertifiedKey::kRsaEk))}));
  return std::get<std::int64_t>(rows.at(0).at(0)) == 2;
}

base::Result<std::vector<protocol::Uuid>> CertificateDatabase::vms(crypto::Time now) {
  TRY_ASSIGN(rows, sql_->execute(
                       "SELECT vm_id FROM certificate WHERE revoked_at IS NULL AND not_after >= $1 "
                       "UNION SELECT vm_id FROM ek ORDER BY vm_id",
                       {seconds(now)}));
  std::vector<protocol::Uuid> vms;
  for (const auto& row : rows) {
    const auto& bytes = std::get<base::Bytes>(row.at(0));
    protocol::Uuid id{};
    if (bytes.size() != id.size()) {
      return base::fail(ErrorCode::kCorrupt, "AK certificate records: a VM has no id");
    }
    std::copy(bytes.begin(), bytes.end(), id.begin());
    vms.push_back(id);
  }
  return vms;
}

base::Result<void> CertificateDatabase::forget_ended(crypto::Time time) {
  TRY(sql_->execute("DELETE FROM certificate WHERE not_after < $1", {seconds(time)}));
  return {};
}

base::Result<std::uint64_t> CertificateDatabase::next_crl_number(AkClass ak_class) {
  TRY_ASSIGN(rows, sql_->execute("INSERT INTO crl VALUES ($1, 1) ON CONFLICT (class) "
                                 "DO UPDATE SET number = crl.number + 1 RETURNING number",
                                 {std::string(name(ak_class))}));
  return static_cast<std::uint64_t>(std::get<std::int64_t>(rows.at(0).at(0)));
}

base::Result<std::uint64_t> CertificateDatabase::last_crl_number(AkClass ak_class) {
  TRY_ASSIGN(rows, sql_->execute("SELECT number FROM crl WHERE class = $1",
                                 {std::string(name(ak_class))}));
  return rows.empty() ? 0 : static_cast<std::uint64_t>(std::get<std::int64_t>(rows[0].at(0)));
}

base::Result<bool> CertificateDatabase::has_issued(AkClass ak_class) {
  TRY_ASSIGN(rows, sql_->execute("SELECT 1 FROM certificate WHERE class = $1 LIMIT 1",
                                 {std::string(name(ak_class))}));
  return !rows.empty();
}

}  // namespace keybroker::store
