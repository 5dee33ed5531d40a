// SPDX-License-Identifier: Apache-2.0
#include "vtpm/host/database.h"

#include <sqlite3.h>

namespace vtpm::host {

namespace {

using base::ErrorCode;

ErrorCode code_of(int result) {
  switch (result & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return ErrorCode::kUnavailable;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_FORMAT:
      return ErrorCode::kCorrupt;
    case SQLITE_CONSTRAINT:
      return ErrorCode::kDenied;
    default:
      return ErrorCode::kIo;
  }
}

tl::unexpected<base::Error> failure(sqlite3* database, int result) {
  const std::string why = database != nullptr ? sqlite3_errmsg(database) : sqlite3_errstr(result);
  return base::fail(code_of(result), "registry: " + why);
}

}  // namespace

void Statement::Finalize::operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }

void Statement::note(int result) {
  if (bind_result_ == SQLITE_OK) {
    bind_result_ = result;
  }
}

Statement& Statement::bind(int position, std::int64_t value) {
  note(sqlite3_bind_int64(statement_.get(), position, value));
  return *this;
}

Statement& Statement::bind(int position, std::string_view text) {
  note(sqlite3_bind_text64(statement_.get(), position, text.data(), text.size(), SQLITE_TRANSIENT,
                           SQLITE_UTF8));
  return *this;
}

Statement& Statement::bind(int position, base::ByteView blob) {
  // A null pointer would bind NULL, and an empty blob is not that.
  const void* bytes = blob.empty() ? static_cast<const void*>("") : blob.data();
  note(sqlite3_bind_blob64(statement_.get(), position, bytes, blob.size(), SQLITE_TRANSIENT));
  return *this;
}

base::Result<bool> Statement::step() {
  if (bind_result_ != SQLITE_OK) {
    return failure(&database_, bind_result_);
  }
  const int result = sqlite3_step(statement_.get());
  if (result == SQLITE_ROW) {
    return true;
  }
  if (result != SQLITE_DONE) {
    return failure(&database_, result);
  }
  return false;
}

base::Result<void> Statement::run() {
  TRY(step());
  return {};
}

std::int64_t Statement::integer(int column) const {
  return sqlite3_column_int64(statement_.get(), column);
}

std::string Statement::text(int column) const {
  const auto bytes = blob(column);
  std::string text;
  for (const auto byte : bytes) {
    text.push_back(static_cast<char>(byte));
  }
  return text;
}

base::Bytes Statement::blob(int column) const {
  const auto* bytes = static_cast<const std::byte*>(sqlite3_column_blob(statement_.get(), column));
  const auto size = static_cast<std::size_t>(sqlite3_column_bytes(statement_.get(), column));
  return bytes == nullptr ? base::Bytes() : base::Bytes(bytes, bytes + size);
}

void Database::Close::operator()(sqlite3* database) const { sqlite3_close(database); }

base::Result<Database> Database::open(const std::filesystem::path& path) {
  sqlite3* raw = nullptr;
  const int opened =
      sqlite3_open_v2(path.c_str(), &raw, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, nullptr);
  Database database(raw);
  if (opened != SQLITE_OK) {
    return failure(raw, opened);
  }
  sqlite3_extended_result_codes(raw, 1);
  return database;
}

base::Result<void> Database::make_durable() {
  return execute("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;");
}

base::Result<Statement> Database::prepare(std::string_view sql) {
  sqlite3_stmt* raw = nullptr;
  const int result =
      sqlite3_prepare_v2(database_.get(), sql.data(), static_cast<int>(sql.size()), &raw, nullptr);
  if (result != SQLITE_OK) {
    return failure(database_.get(), result);
  }
  return Statement(*database_, raw);
}

base::Result<void> Database::execute(const std::string& sql) {
  const int result = sqlite3_exec(database_.get(), sql.c_str(), nullptr, nullptr, nullptr);
  if (result != SQLITE_OK) {
    return failure(database_.get(), result);
  }
  return {};
}

base::Result<std::int64_t> Database::pragma(const std::string& name) {
  TRY_ASSIGN(statement, prepare("PRAGMA " + name));
  TRY(statement.step());
  return statement.integer(0);
}

base::Result<DatabaseTransaction> DatabaseTransaction::begin(Database& database) {
  TRY(database.execute("BEGIN IMMEDIATE"));
  return DatabaseTransaction(database);
}

DatabaseTransaction::~DatabaseTransaction() {
  if (database_ != nullptr) {
    // Nothing was promised yet; if even this fails, closing the file undoes it.
    (void)database_->execute("ROLLBACK");
  }
}

base::Result<void> DatabaseTransaction::commit() {
  TRY(database_->execute("COMMIT"));
  database_ = nullptr;
  return {};
}

}  // namespace vtpm::host
