// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"

struct sqlite3;
struct sqlite3_stmt;

namespace vtpm::host {

// Statement is one prepared statement. Parameters are bound by position, from 1; columns are read
// by position, from 0, after step() said true. It must not outlive its Database.
class Statement {
 public:
  Statement& bind(int position, std::int64_t value);
  Statement& bind(int position, std::string_view text);
  Statement& bind(int position, base::ByteView blob);

  // step() runs to the next row: false after the last. The error of a bind() comes out here.
  base::Result<bool> step();

  // run() is step() for a statement that gives no rows.
  base::Result<void> run();

  [[nodiscard]] std::int64_t integer(int column) const;
  [[nodiscard]] std::string text(int column) const;
  [[nodiscard]] base::Bytes blob(int column) const;

 private:
  friend class Database;

  struct Finalize {
    void operator()(sqlite3_stmt* statement) const;
  };

  Statement(sqlite3& database, sqlite3_stmt* statement)
      : database_(database), statement_(statement) {}

  void note(int result);

  sqlite3& database_;
  std::unique_ptr<sqlite3_stmt, Finalize> statement_;
  int bind_result_ = 0;
};

// Database is an SQLite file. One thread. Errors: kUnavailable if another process has it locked,
// kCorrupt if it is damaged or no database, kDenied for a broken constraint, else kIo.
class Database {
 public:
  // open() makes an empty one if nothing is there. It changes nothing in one that is.
  static base::Result<Database> open(const std::filesystem::path& path);

  // make_durable() has each commit be on the disk when it returns, from now on.
  base::Result<void> make_durable();

  base::Result<Statement> prepare(std::string_view sql);

  // execute() runs statements that take no parameters.
  base::Result<void> execute(const std::string& sql);

  // pragma() reads a PRAGMA whose value is an integer.
  base::Result<std::int64_t> pragma(const std::string& name);

 private:
  struct Close {
    void operator()(sqlite3* database) const;
  };

  explicit Database(sqlite3* database) : database_(database) {}

  std::unique_ptr<sqlite3, Close> database_;
};

// DatabaseTransaction is rolled back when it dies uncommitted.
class DatabaseTransaction {
 public:
  static base::Result<DatabaseTransaction> begin(Database& database);

  DatabaseTransaction(DatabaseTransaction&& other) noexcept
      : database_(std::exchange(other.database_, nullptr)) {}

  DatabaseTransaction& operator=(DatabaseTransaction&&) = delete;
  ~DatabaseTransaction();

  base::Result<void> commit();

 private:
  explicit DatabaseTransaction(Database& database) : database_(&database) {}

  Database* database_;
};

}  // namespace vtpm::host
