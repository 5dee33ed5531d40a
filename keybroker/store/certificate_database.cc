// SPDX-License-Identifier: Apache-2.0
#include "keybroker/store/certificate_database.h"

#include <sqlite3.h>

#include <algorithm>
#include <span>
#include <string>
#include <variant>
#include <vector>

namespace keybroker::store {

namespace {

using authority::CertificateRecord;
using base::ErrorCode;
using evidence::AkClass;

// "SrAk", so that another program's database is not taken for ours.
constexpr std::int64_t kApplicationId = 0x5372416b;

// Of kSchema. The first had no column `certified`.
constexpr std::int64_t kVersion = 2;

constexpr const char* kSchema = R"(
  BEGIN IMMEDIATE;
  CREATE TABLE certificate (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    serial BLOB NOT NULL UNIQUE,
    class TEXT NOT NULL,
    certified TEXT NOT NULL,
    vm_id BLOB NOT NULL CHECK (length(vm_id) = 16),
    statement TEXT NOT NULL,
    not_after INTEGER NOT NULL,
    certificate BLOB NOT NULL,
    revoked_at INTEGER
  ) STRICT;
  CREATE INDEX certificate_by_vm ON certificate (vm_id);
  CREATE INDEX certificate_by_end ON certificate (not_after);
  CREATE TABLE ek (vm_id BLOB NOT NULL PRIMARY KEY, public_area BLOB NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TABLE crl (class TEXT NOT NULL PRIMARY KEY, number INTEGER NOT NULL) STRICT, WITHOUT ROWID;
  PRAGMA application_id = 0x5372416b;
  PRAGMA user_version = 2;
  COMMIT;
)";

tl::unexpected<base::Error> failure(sqlite3* database) {
  const auto text = "AK certificate records: " + std::string(sqlite3_errmsg(database));
  switch (sqlite3_errcode(database) & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return base::fail(ErrorCode::kUnavailable, text);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return base::fail(ErrorCode::kCorrupt, text);
    case SQLITE_CONSTRAINT:
      return base::fail(ErrorCode::kDenied, text);
    default:
      return base::fail(ErrorCode::kIo, text);
  }
}

// One value of a statement or of a row.
using Value = std::variant<std::int64_t, std::string, base::Bytes>;
using Row = std::vector<Value>;

struct Finalize {
  void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
};

int bind(sqlite3_stmt* statement, int position, const Value& value) {
  if (const auto* number = std::get_if<std::int64_t>(&value)) {
    return sqlite3_bind_int64(statement, position, *number);
  }
  if (const auto* text = std::get_if<std::string>(&value)) {
    return sqlite3_bind_text64(statement, position, text->data(), text->size(), SQLITE_TRANSIENT,
                               SQLITE_UTF8);
  }
  const auto& blob = std::get<base::Bytes>(value);
  // A null pointer would bind NULL, and an empty blob is not that.
  const void* bytes = blob.empty() ? static_cast<const void*>("") : blob.data();
  return sqlite3_bind_blob64(statement, position, bytes, blob.size(), SQLITE_TRANSIENT);
}

Value column(sqlite3_stmt* statement, int position) {
  const auto* bytes = static_cast<const std::byte*>(sqlite3_column_blob(statement, position));
  const auto size = static_cast<std::size_t>(sqlite3_column_bytes(statement, position));
  switch (sqlite3_column_type(statement, position)) {
    case SQLITE_INTEGER:
      return std::int64_t{sqlite3_column_int64(statement, position)};
    case SQLITE_TEXT:
      return std::string(reinterpret_cast<const char*>(bytes), size);
    default:
      return size == 0 ? base::Bytes() : base::Bytes(bytes, bytes + size);
  }
}

// run() runs one statement with its parameters and gives all rows.
base::Result<std::vector<Row>> run(sqlite3* database, std::string_view sql,
                                   const std::vector<Value>& parameters) {
  sqlite3_stmt* raw = nullptr;
  if (sqlite3_prepare_v2(database, sql.data(), static_cast<int>(sql.size()), &raw, nullptr) !=
      SQLITE_OK) {
    return failure(database);
  }
  const std::unique_ptr<sqlite3_stmt, Finalize> statement(raw);
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    if (bind(raw, static_cast<int>(i) + 1, parameters[i]) != SQLITE_OK) {
      return failure(database);
    }
  }
  std::vector<Row> rows;
  int result = sqlite3_step(raw);
  for (; result == SQLITE_ROW; result = sqlite3_step(raw)) {
    Row row;
    for (int i = 0; i < sqlite3_column_count(raw); ++i) {
      row.push_back(column(raw, i));
    }
    rows.push_back(std::move(row));
  }
  if (result != SQLITE_DONE) {
    return failure(database);
  }
  return rows;
}

std::int64_t seconds(crypto::Time time) { return time.time_since_epoch().count(); }

crypto::Time time_of(const Value& value) {
  return crypto::Time(std::chrono::seconds(std::get<std::int64_t>(value)));
}

}  // namespace

void CertificateDatabase::Close::operator()(sqlite3* database) const { sqlite3_close(database); }

base::Result<CertificateDatabase> CertificateDatabase::open(const std::filesystem::path& path) {
  sqlite3* raw = nullptr;
  const int opened =
      sqlite3_open_v2(path.c_str(), &raw, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, nullptr);
  CertificateDatabase database(raw);
  if (opened != SQLITE_OK) {
    return failure(raw);
  }
  if (auto ready = database.set_up(); !ready) {
    return base::fail(std::move(ready).error().context(path.string()));
  }
  return database;
}

base::Result<void> CertificateDatabase::set_up() {
  auto* database = database_.get();
  TRY_ASSIGN(application, run(database, "PRAGMA application_id", {}));
  TRY_ASSIGN(tables, run(database, "SELECT count(*) FROM sqlite_schema", {}));
  const bool empty = std::get<std::int64_t>(tables.at(0).at(0)) == 0;
  if (!empty && std::get<std::int64_t>(application.at(0).at(0)) != kApplicationId) {
    return base::fail(ErrorCode::kCorrupt, "this is some other program's database");
  }
  TRY_ASSIGN(versions, run(database, "PRAGMA user_version", {}));
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
  for (const char* sql :
       {"PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;", empty ? kSchema : ""}) {
    if (sqlite3_exec(database, sql, nullptr, nullptr, nullptr) != SQLITE_OK) {
      return failure(database);
    }
  }
  return {};
}

base::Result<void> CertificateDatabase::add(const CertificateRecord& record) {
  TRY(run(database_.get(),
          "INSERT INTO certificate "
          "(serial, class, certified, vm_id, statement, not_after, certificate) "
          "VALUES (?, ?, ?, ?, ?, ?, ?)",
          {record.serial, std::string(name(record.statement.ak_class)),
           std::string(name(record.certified)), base::copy_of(record.statement.vm_id),
           encode(record.statement), seconds(record.not_after), record.certificate}));
  return {};
}

base::Result<std::vector<CertificateRecord>> CertificateDatabase::of_vm(
    const protocol::Uuid& vm_id) {
  TRY_ASSIGN(rows, run(database_.get(),
                       "SELECT serial, statement, not_after, certificate, revoked_at, certified "
                       "FROM certificate WHERE vm_id = ? ORDER BY number",
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
  TRY_ASSIGN(rows, run(database_.get(),
                       "UPDATE certificate SET revoked_at = coalesce(revoked_at, ?) "
                       "WHERE serial = ? RETURNING number",
                       {seconds(when), base::copy_of(serial)}));
  if (rows.empty()) {
    return base::fail(ErrorCode::kNotFound, "no certificate with this serial number was issued");
  }
  return {};
}

base::Result<std::vector<crypto::Crl::Entry>> CertificateDatabase::revoked(AkClass ak_class,
                                                                           crypto::Time now) {
  TRY_ASSIGN(rows, run(database_.get(),
                       "SELECT serial, revoked_at FROM certificate "
                       "WHERE class = ? AND revoked_at IS NOT NULL AND not_after >= ? "
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
  TRY_ASSIGN(rows, run(database_.get(),
                       "INSERT INTO ek VALUES (?, ?) ON CONFLICT (vm_id) DO UPDATE "
                       "SET public_area = public_area RETURNING public_area",
                       {base::copy_of(vm_id), base::copy_of(ek)}));
  if (std::get<base::Bytes>(rows.at(0).at(0)) != base::copy_of(ek)) {
    return base::fail(ErrorCode::kDenied, "another endorsement key is registered for this VM");
  }
  return {};
}

base::Result<void> CertificateDatabase::forget_ek(const protocol::Uuid& vm_id) {
  TRY(run(database_.get(), "DELETE FROM ek WHERE vm_id = ?", {base::copy_of(vm_id)}));
  return {};
}

base::Result<base::Bytes> CertificateDatabase::ek_of(const protocol::Uuid& vm_id) {
  TRY_ASSIGN(rows, run(database_.get(), "SELECT public_area FROM ek WHERE vm_id = ?",
                       {base::copy_of(vm_id)}));
  if (rows.empty()) {
    return base::fail(ErrorCode::kNotFound, "no endorsement key is registered for this VM");
  }
  return std::get<base::Bytes>(rows[0][0]);
}

base::Result<bool> CertificateDatabase::has_certified(const protocol::Uuid& vm_id,
                                                      crypto::Time now) {
  TRY_ASSIGN(rows, run(database_.get(),
                       "SELECT count(DISTINCT certified) FROM certificate WHERE vm_id = ? "
                       "AND revoked_at IS NULL AND not_after >= ? AND certified IN (?, ?)",
                       {base::copy_of(vm_id), seconds(now),
                        std::string(name(authority::CertifiedKey::kAk)),
                        std::string(name(authority::CertifiedKey::kRsaEk))}));
  return std::get<std::int64_t>(rows.at(0).at(0)) == 2;
}

base::Result<std::vector<protocol::Uuid>> CertificateDatabase::vms(crypto::Time now) {
  TRY_ASSIGN(rows, run(database_.get(),
                       "SELECT vm_id FROM certificate WHERE revoked_at IS NULL AND not_after >= ? "
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
  TRY(run(database_.get(), "DELETE FROM certificate WHERE not_after < ?", {seconds(time)}));
  return {};
}

base::Result<std::uint64_t> CertificateDatabase::next_crl_number(AkClass ak_class) {
  TRY_ASSIGN(rows, run(database_.get(),
                       "INSERT INTO crl VALUES (?, 1) ON CONFLICT (class) "
                       "DO UPDATE SET number = number + 1 RETURNING number",
                       {std::string(name(ak_class))}));
  return static_cast<std::uint64_t>(std::get<std::int64_t>(rows.at(0).at(0)));
}

base::Result<std::uint64_t> CertificateDatabase::last_crl_number(AkClass ak_class) {
  TRY_ASSIGN(rows, run(database_.get(), "SELECT number FROM crl WHERE class = ?",
                       {std::string(name(ak_class))}));
  return rows.empty() ? 0 : static_cast<std::uint64_t>(std::get<std::int64_t>(rows[0].at(0)));
}

base::Result<bool> CertificateDatabase::has_issued(AkClass ak_class) {
  TRY_ASSIGN(rows, run(database_.get(), "SELECT 1 FROM certificate WHERE class = ? LIMIT 1",
                       {std::string(name(ak_class))}));
  return !rows.empty();
}

}  // namespace keybroker::store
