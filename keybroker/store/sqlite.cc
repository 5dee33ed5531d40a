// SPDX-License-Identifier: Apache-2.0
#include "keybroker/store/sqlite.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <functional>
#include <map>
#include <string>
#include <system_error>
#include <utility>

#include "vmgs/base/descriptor.h"

namespace keybroker::store {

namespace {

using base::ErrorCode;

constexpr int kBusyMilliseconds = 5000;

struct Close {
  void operator()(sqlite3* database) const { sqlite3_close(database); }
};

struct Finalize {
  void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
};

using Statement = std::unique_ptr<sqlite3_stmt, Finalize>;

tl::unexpected<base::Error> failure(sqlite3* database) {
  const auto text = "SQLite: " + std::string(sqlite3_errmsg(database));
  switch (sqlite3_errcode(database) & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return base::fail(ErrorCode::kUnavailable, text);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_ERROR:  // no such table or column: our statements have no other mistake
      return base::fail(ErrorCode::kCorrupt, text);
    case SQLITE_CONSTRAINT:
      return base::fail(ErrorCode::kDenied, text);
    default:
      return base::fail(ErrorCode::kIo, text);
  }
}

int bind(sqlite3_stmt* statement, int position, const Value& value) {
  if (std::holds_alternative<std::monostate>(value)) {
    return sqlite3_bind_null(statement, position);
  }
  if (const auto* number = std::get_if<std::int64_t>(&value)) {
    return sqlite3_bind_int64(statement, position, *number);
  }
  if (const auto* text = std::get_if<std::string>(&value)) {
    return sqlite3_bind_text64(statement, position, text->data(), text->size(), SQLITE_STATIC,
                               SQLITE_UTF8);
  }
  const auto& blob = std::get<base::Bytes>(value);
  // A null pointer would bind NULL, and an empty blob is not that.
  const void* bytes = blob.empty() ? static_cast<const void*>("") : blob.data();
  return sqlite3_bind_blob64(statement, position, bytes, blob.size(), SQLITE_STATIC);
}

// bind_all() binds by name: SQLite numbers `$2` by where it first stands, not by its name.
int bind_all(sqlite3_stmt* statement, const std::vector<Value>& parameters) {
  for (int i = 1; i <= sqlite3_bind_parameter_count(statement); ++i) {
    const std::string_view name = sqlite3_bind_parameter_name(statement, i);
    std::size_t number = 0;
    std::from_chars(name.data() + 1, name.data() + name.size(), number);
    if (number == 0 || number > parameters.size()) {
      return SQLITE_RANGE;
    }
    if (const int bound = bind(statement, i, parameters[number - 1]); bound != SQLITE_OK) {
      return bound;
    }
  }
  return SQLITE_OK;
}

Value column(sqlite3_stmt* statement, int position) {
  const auto* bytes = static_cast<const std::byte*>(sqlite3_column_blob(statement, position));
  const auto size = static_cast<std::size_t>(sqlite3_column_bytes(statement, position));
  switch (sqlite3_column_type(statement, position)) {
    case SQLITE_NULL:
      return std::monostate();
    case SQLITE_INTEGER:
      return std::int64_t{sqlite3_column_int64(statement, position)};
    case SQLITE_TEXT:
      return std::string(reinterpret_cast<const char*>(bytes), size);
    default:
      return size == 0 ? base::Bytes() : base::Bytes(bytes, bytes + size);
  }
}

class Sqlite final : public Sql {
 public:
  explicit Sqlite(sqlite3* database) : database_(database) {}

  ~Sqlite() override { statements_.clear(); }

  base::Result<void> set_up() {
    sqlite3_busy_timeout(database_.get(), kBusyMilliseconds);
    for (const char* pragma : {"PRAGMA journal_mode = WAL", "PRAGMA synchronous = FULL",
                               "PRAGMA foreign_keys = ON", "PRAGMA trusted_schema = OFF"}) {
      if (sqlite3_exec(database_.get(), pragma, nullptr, nullptr, nullptr) != SQLITE_OK) {
        return failure(database_.get());
      }
    }
    return {};
  }

  base::Result<std::vector<Row>> execute(std::string_view statement,
                                         const std::vector<Value>& parameters) override {
    TRY_ASSIGN(prepared, prepare(statement));
    auto rows = step(prepared, parameters);
    // A statement that is not reset keeps the locks and the values of its last run.
    sqlite3_reset(prepared);
    sqlite3_clear_bindings(prepared);
    return rows;
  }

  // In WAL mode with synchronous = FULL a commit returns after its frames are synced.
  base::Result<void> is_durable() override {
    TRY_ASSIGN(mode, execute("PRAGMA journal_mode", {}));
    if (std::get<std::string>(mode.at(0).at(0)) != "wal") {
      return base::fail(ErrorCode::kDenied,
                        "SQLite has no write-ahead log here; put the file on a local disk");
    }
    return {};
  }

  [[nodiscard]] bool is_sqlite() const override { return true; }

  base::Result<void> copy_to(sqlite3* target) {
    sqlite3_backup* backup = sqlite3_backup_init(target, "main", database_.get(), "main");
    if (backup == nullptr) {
      return failure(target);
    }
    sqlite3_backup_step(backup, -1);
    if (sqlite3_backup_finish(backup) != SQLITE_OK) {
      return failure(target);
    }
    return {};
  }

 protected:
  // IMMEDIATE: a transaction that reads first and then cannot get the lock to write would fail
  // however long it waited.
  base::Result<void> begin() override {
    conflicted_ = false;
    TRY(execute("BEGIN IMMEDIATE", {}));
    return {};
  }

  base::Result<Commit> commit() override {
    TRY(execute("COMMIT", {}));
    return Commit::kDurable;
  }

  void roll_back() override {
    if (sqlite3_get_autocommit(database_.get()) == 0) {
      sqlite3_exec(database_.get(), "ROLLBACK", nullptr, nullptr, nullptr);
    }
  }

  [[nodiscard]] bool conflicted() const override { return conflicted_; }

 private:
  base::Result<sqlite3_stmt*> prepare(std::string_view text) {
    const auto known = statements_.find(text);
    if (known != statements_.end()) {
      return known->second.get();
    }
    sqlite3_stmt* raw = nullptr;
    if (sqlite3_prepare_v3(database_.get(), text.data(), static_cast<int>(text.size()),
                           SQLITE_PREPARE_PERSISTENT, &raw, nullptr) != SQLITE_OK) {
      return failure(database_.get());
    }
    statements_.emplace(text, Statement(raw));
    return raw;
  }

  base::Result<std::vector<Row>> step(sqlite3_stmt* statement,
                                      const std::vector<Value>& parameters) {
    if (const int bound = bind_all(statement, parameters); bound != SQLITE_OK) {
      return base::fail(
          ErrorCode::kInvalidArgument,
          "SQLite: " + std::string(sqlite3_errstr(bound)) + " in " + sqlite3_sql(statement));
    }
    std::vector<Row> rows;
    int result = sqlite3_step(statement);
    for (; result == SQLITE_ROW; result = sqlite3_step(statement)) {
      Row row;
      for (int i = 0; i < sqlite3_column_count(statement); ++i) {
        row.push_back(column(statement, i));
      }
      rows.push_back(std::move(row));
    }
    if (result != SQLITE_DONE) {
      conflicted_ = conflicted_ || (result & 0xff) == SQLITE_BUSY;
      return failure(database_.get());
    }
    return rows;
  }

  std::unique_ptr<sqlite3, Close> database_;
  std::map<std::string, Statement, std::less<>> statements_;
  bool conflicted_ = false;
};

base::Result<std::unique_ptr<Sqlite>> open_file(const std::filesystem::path& path, int flags) {
  sqlite3* raw = nullptr;
  const int opened = sqlite3_open_v2(path.c_str(), &raw, flags, nullptr);
  auto database = std::make_unique<Sqlite>(raw);
  if (opened != SQLITE_OK) {
    base::Error error = failure(raw).value();
    return base::fail(std::move(error).context(path.string()));
  }
  return database;
}

tl::unexpected<base::Error> system_failure(const std::filesystem::path& path) {
  const int number = errno;
  return base::fail(number == EEXIST ? ErrorCode::kDenied : ErrorCode::kIo,
                    path.string() + ": " + std::strerror(number));
}

// create() makes an empty file of mode 0600; SQLite gives its WAL the same mode.
base::Result<void> create(const std::filesystem::path& path) {
  const base::Descriptor file(::open(path.c_str(), O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600));
  if (!file.is_open()) {
    return system_failure(path);
  }
  return {};
}

base::Result<void> sync(const std::filesystem::path& path) {
  const base::Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.is_open() || ::fsync(file.number()) != 0) {
    return system_failure(path);
  }
  return {};
}

std::filesystem::path folder_of(const std::filesystem::path& path) {
  return path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
}

base::Result<void> copy_into(Sqlite& source, const std::filesystem::path& path) {
  {
    sqlite3* raw = nullptr;
    const int opened = sqlite3_open_v2(path.c_str(), &raw, SQLITE_OPEN_READWRITE, nullptr);
    const std::unique_ptr<sqlite3, Close> target(raw);
    if (opened != SQLITE_OK) {
      return failure(raw);
    }
    TRY(source.copy_to(target.get()));
    // The copy says it has a write-ahead log. A backup is one file.
    if (sqlite3_exec(raw, "PRAGMA journal_mode = DELETE", nullptr, nullptr, nullptr) != SQLITE_OK) {
      return failure(raw);
    }
  }
  return sync(path);
}

}  // namespace

base::Result<std::unique_ptr<Sql>> open_sqlite(const std::filesystem::path& path) {
  if (auto made = create(path); made) {
    // Else a crash could take the file away with all that was acknowledged.
    TRY(sync(folder_of(path)));
  } else if (made.error().code != ErrorCode::kDenied) {
    return base::fail(std::move(made).error());
  }
  TRY_ASSIGN(database, open_file(path, SQLITE_OPEN_READWRITE));
  if (auto ready = database->set_up(); !ready) {
    return base::fail(std::move(ready).error().context(path.string()));
  }
  return base::Result<std::unique_ptr<Sql>>(std::move(database));
}

base::Result<void> back_up_sqlite(Sql& database, const std::filesystem::path& path) {
  auto* source = dynamic_cast<Sqlite*>(&database);
  if (source == nullptr) {
    return base::fail(ErrorCode::kInvalidArgument,
                      "PostgreSQL is backed up with its own tools: pg_basebackup, or pg_dump");
  }
  const std::filesystem::path unfinished = path.string() + ".unfinished";
  std::error_code ignored;
  std::filesystem::remove(unfinished, ignored);
  TRY(create(unfinished));
  auto copied = copy_into(*source, unfinished);
  // RENAME_NOREPLACE: a backup never takes the place of another file.
  if (copied &&
      ::renameat2(AT_FDCWD, unfinished.c_str(), AT_FDCWD, path.c_str(), RENAME_NOREPLACE) != 0) {
    copied = system_failure(path);
  }
  if (!copied) {
    std::filesystem::remove(unfinished, ignored);
    return copied;
  }
  return sync(folder_of(path));
}

base::Result<void> check_backup(const std::filesystem::path& path) {
  TRY_ASSIGN(database, open_file(path, SQLITE_OPEN_READONLY));
  TRY_ASSIGN(found, database->execute("PRAGMA integrity_check", {}));
  const auto* verdict = std::get_if<std::string>(&found.at(0).at(0));
  if (verdict == nullptr || *verdict != "ok") {
    return base::fail(ErrorCode::kCorrupt, path.string() + ": " + (verdict ? *verdict : ""));
  }
  return {};
}

}  // namespace keybroker::store
