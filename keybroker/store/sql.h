// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"

namespace keybroker::store {

// One value of a statement or of a row; std::monostate is NULL.
using Value = std::variant<std::monostate, std::int64_t, std::string, base::Bytes>;
using Row = std::vector<Value>;

// What a transaction comes to.
enum class Commit {
  kDurable,  // it happened, and stays
  kUnknown,  // the database went away, or could not promise, after it was asked to commit
};

// What the steps of a transaction want of it.
enum class Then { kCommit, kRollBack };

// Sql is one connection to one database, which speaks the subset of SQL that SQLite 3.40 and
// PostgreSQL 15 understand alike: types bytea, bigint and text; `$1` for parameters; single-row
// UPDATE ... RETURNING, INSERT ... ON CONFLICT. One thread; a program opens one for each.
//
// Errors: kUnavailable if the database is away, locked by another or read-only now, and the same
// call may be repeated; kDenied if a constraint says no; kCorrupt if the database is damaged or its
// tables are not the ones of the statement; kIo otherwise.
class Sql {
 public:
  virtual ~Sql() = default;

  // execute() runs one statement, by itself or as a step of the transaction that is running, and
  // gives all its rows. The texts of statements are constants: each stays prepared.
  virtual base::Result<std::vector<Row>> execute(std::string_view statement,
                                                 const std::vector<Value>& parameters) = 0;

  // transaction() runs `steps`, which call execute() and may be run again from the start if the
  // database found them in conflict with another's. Then::kRollBack, and every error, leaves
  // nothing of them behind; a transaction that is rolled back gives kDurable. kUnknown is to be
  // resolved by a request id, never guessed.
  base::Result<Commit> transaction(const std::function<base::Result<Then>()>& steps);

  // is_durable() tells whether the database promises that what it acknowledged stays when it
  // crashes or fails over: kDenied, naming the setting, if it does not.
  virtual base::Result<void> is_durable() = 0;

  // is_sqlite(): the few things that no common text exists for.
  [[nodiscard]] virtual bool is_sqlite() const = 0;

 protected:
  virtual base::Result<void> begin() = 0;
  virtual base::Result<Commit> commit() = 0;

  // roll_back() never fails: a connection that cannot roll back is closed, which does.
  virtual void roll_back() = 0;

  // conflicted() tells whether a statement of this transaction failed because of another's.
  [[nodiscard]] virtual bool conflicted() const = 0;
};

}  // namespace keybroker::store
