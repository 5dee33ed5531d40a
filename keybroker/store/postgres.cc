// SPDX-License-Identifier: Apache-2.0
#include "keybroker/store/postgres.h"

#include <libpq-fe.h>
#include <poll.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <functional>
#include <map>
#include <optional>
#include <utility>

#include "vmgs/base/layout.h"
#include "vmgs/base/log.h"

namespace keybroker::store {

namespace {

using base::ErrorCode;
using Clock = std::chrono::steady_clock;

// Types of PostgreSQL's catalogue (pg_type.dat), which never change.
constexpr Oid kBool = 16;
constexpr Oid kBytea = 17;
constexpr Oid kInt8 = 20;
constexpr Oid kInt4 = 23;
constexpr Oid kText = 25;

constexpr int kBinary = 1;

struct Finish {
  void operator()(PGconn* connection) const { PQfinish(connection); }
};

struct Clear {
  void operator()(PGresult* result) const { PQclear(result); }
};

using Connection = std::unique_ptr<PGconn, Finish>;
using Answer = std::unique_ptr<PGresult, Clear>;

std::string trimmed(const char* text) {
  std::string line = text == nullptr ? "" : text;
  while (!line.empty() && (line.back() == '\n' || line.back() == ' ')) {
    line.pop_back();
  }
  return line;
}

std::string_view state_of(const PGresult* answer) {
  const char* state = PQresultErrorField(answer, PG_DIAG_SQLSTATE);
  return state == nullptr ? std::string_view() : std::string_view(state);
}

// What an SQLSTATE (PostgreSQL 15, appendix A) means to a caller.
ErrorCode code_of(std::string_view state) {
  const auto in_class = [state](std::string_view prefix) { return state.starts_with(prefix); };
  if (in_class("40") || in_class("08") || in_class("57") || in_class("53") || in_class("55") ||
      in_class("25006") || in_class("28")) {
    return ErrorCode::kUnavailable;  // conflict, connection, shut down, resources, lock, read only
  }
  if (in_class("23") || in_class("42501")) {
    return ErrorCode::kDenied;  // a constraint; no privilege
  }
  if (in_class("22")) {
    return ErrorCode::kInvalidArgument;  // text that is not UTF-8
  }
  // Tables, columns and types that are not the ones of the statement; damaged pages.
  if (in_class("42") || in_class("XX001") || in_class("XX002") || in_class("3F")) {
    return ErrorCode::kCorrupt;
  }
  return ErrorCode::kIo;
}

Oid type_of(const Value& value) {
  constexpr std::array<Oid, 4> kTypes = {0, kInt8, kText, kBytea};
  return kTypes[value.index()];
}

// Parameters of a statement in the shape that libpq takes.
struct Parameters {
  explicit Parameters(const std::vector<Value>& values) : numbers(values.size()) {
    for (std::size_t i = 0; i < values.size(); ++i) {
      add(values[i], numbers[i]);
    }
  }

  void add(const Value& value, base::U64Be& number) {
    const char* bytes = nullptr;
    std::size_t size = 0;
    if (const auto* integer = std::get_if<std::int64_t>(&value)) {
      number = static_cast<std::uint64_t>(*integer);
      bytes = reinterpret_cast<const char*>(base::view(number).data());
      size = sizeof(number);
    } else if (const auto* text = std::get_if<std::string>(&value)) {
      bytes = text->data();
      size = text->size();
    } else if (const auto* blob = std::get_if<base::Bytes>(&value)) {
      // A null pointer would be NULL, and an empty value is not that.
      bytes = blob->empty() ? "" : reinterpret_cast<const char*>(blob->data());
      size = blob->size();
    }
    data.push_back(bytes);
    sizes.push_back(static_cast<int>(size));
    formats.push_back(kBinary);
  }

  std::vector<base::U64Be> numbers;
  std::vector<const char*> data;
  std::vector<int> sizes;
  std::vector<int> formats;
};

base::Result<Value> column(const PGresult* answer, int row, int position) {
  if (PQgetisnull(answer, row, position) != 0) {
    return Value();
  }
  const auto size = static_cast<std::size_t>(PQgetlength(answer, row, position));
  const auto* bytes = reinterpret_cast<const std::byte*>(PQgetvalue(answer, row, position));
  const std::span value(bytes, size);
  switch (PQftype(answer, position)) {
    case kInt8:
      return Value(static_cast<std::int64_t>(base::load<base::U64Be>(value.first<8>()).value()));
    case kInt4:
      return Value(std::int64_t{
          static_cast<std::int32_t>(base::load<base::U32Be>(value.first<4>()).value())});
    case kBool:
      return Value(std::int64_t{value[0] != std::byte{0}});
    case kBytea:
      return Value(base::copy_of(value));
    case kText:
      return Value(std::string(PQgetvalue(answer, row, position), size));
    default:
      return base::fail(ErrorCode::kCorrupt, "PostgreSQL: a column is of no type that we use");
  }
}

base::Result<std::vector<Row>> rows_of(const PGresult* answer) {
  std::vector<Row> rows;
  for (int i = 0; i < PQntuples(answer); ++i) {
    Row row;
    for (int j = 0; j < PQnfields(answer); ++j) {
      TRY_ASSIGN(value, column(answer, i, j));
      row.push_back(std::move(value));
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

class Postgres final : public Sql {
 public:
  Postgres(std::string where, std::chrono::milliseconds patience)
      : where_(std::move(where)), patience_(patience) {}

  base::Result<void> connect() {
    // What stands after dbname wins over it, what stands before gives way.
    constexpr const char* kNames[] = {"application_name",     "connect_timeout",
                                      "tcp_user_timeout",     "dbname",
                                      "target_session_attrs", nullptr};
    const char* const values[] = {"strongroom",   "5",          "10000",
                                  where_.c_str(), "read-write", nullptr};
    prepared_.clear();
    in_transaction_ = false;
    connection_.reset(PQconnectdbParams(kNames, values, 1));
    if (PQstatus(connection_.get()) != CONNECTION_OK) {
      const auto text = trimmed(PQerrorMessage(connection_.get()));
      connection_.reset();
      return base::fail(ErrorCode::kUnavailable,
                        "PostgreSQL: no server that takes writes answers: " + text);
    }
    PQsetNoticeReceiver(connection_.get(), on_notice, this);
    return read_durability();
  }

  base::Result<std::vector<Row>> execute(std::string_view statement,
                                         const std::vector<Value>& parameters) override {
    // Never a new connection in the middle of a transaction: what came before is not on it.
    if (in_transaction_ && !connection_) {
      return lost("the connection was lost in the middle of a transaction");
    }
    if (in_transaction_) {
      return run(statement, parameters);
    }
    TRY(be_connected());
    timed_out_ = false;
    auto rows = run(statement, parameters);
    if (!rows && !connection_ && !timed_out_ && statement.starts_with("SELECT")) {
      // The server went away while the connection was idle. What only reads may be asked again.
      TRY(connect());
      return run(statement, parameters);
    }
    return rows;
  }

  base::Result<void> is_durable() override {
    TRY(be_connected());
    if (!weakness_.empty()) {
      return base::fail(ErrorCode::kDenied,
                        "PostgreSQL has " + weakness_ +
                            ", so it can lose what it acknowledged; "
                            "synchronous_commit = on and fsync = on are needed");
    }
    return {};
  }

  [[nodiscard]] bool is_sqlite() const override { return false; }

 protected:
  base::Result<void> begin() override {
    conflicted_ = false;
    in_transaction_ = false;
    TRY(be_connected());
    constexpr auto kBegin = "BEGIN ISOLATION LEVEL READ COMMITTED";
    auto begun = simple(kBegin);
    if (!begun && !connection_) {
      // The server went away while the connection was idle. Nothing has been asked of it yet.
      TRY(connect());
      begun = simple(kBegin);
    }
    TRY(std::move(begun));
    in_transaction_ = true;
    return {};
  }

  base::Result<Commit> commit() override {
    if (!connection_) {
      return lost("the connection was lost before the commit");
    }
    warned_ = false;
    in_transaction_ = false;
    auto committed = simple("COMMIT");
    if (!committed) {
      // An answer that says no is one; without an answer nobody knows.
      return connection_ ? base::Result<Commit>(base::fail(std::move(committed).error()))
                         : base::Result<Commit>(Commit::kUnknown);
    }
    if (*committed != "COMMIT") {
      return base::fail(ErrorCode::kIo, "PostgreSQL rolled the transaction back");
    }
    // "canceling wait for synchronous replication": it is committed here, but no standby has said
    // that it has it. Only a later commit that is waited for can say so.
    return warned_ ? Commit::kUnknown : Commit::kDurable;
  }

  void roll_back() override {
    in_transaction_ = false;
    if (connection_ && PQtransactionStatus(connection_.get()) != PQTRANS_IDLE &&
        !simple("ROLLBACK")) {
      connection_.reset();
    }
  }

  [[nodiscard]] bool conflicted() const override { return conflicted_; }

 private:
  static void on_notice(void* self, const PGresult* notice) {
    const char* severity = PQresultErrorField(notice, PG_DIAG_SEVERITY_NONLOCALIZED);
    if (severity == nullptr || std::string_view(severity) != "WARNING") {
      return;  // NOTICE and below: "relation exists, skipping"
    }
    static_cast<Postgres*>(self)->warned_ = true;
    base::log(base::LogLevel::kWarning, "PostgreSQL: " + trimmed(PQresultErrorMessage(notice)));
  }

  tl::unexpected<base::Error> lost(std::string_view how) {
    connection_.reset();
    prepared_.clear();
    return base::fail(ErrorCode::kUnavailable, "PostgreSQL: " + std::string(how));
  }

  base::Result<std::vector<Row>> run(std::string_view statement,
                                     const std::vector<Value>& parameters) {
    TRY_ASSIGN(prepared, prepare(statement, parameters));
    const Parameters values(parameters);
    const int sent = PQsendQueryPrepared(connection_.get(), prepared.c_str(),
                                         static_cast<int>(parameters.size()), values.data.data(),
                                         values.sizes.data(), values.formats.data(), kBinary);
    TRY_ASSIGN(answer, finish(sent));
    return rows_of(answer.get());
  }

  base::Result<void> be_connected() {
    if (connection_ && PQstatus(connection_.get()) == CONNECTION_OK) {
      return {};
    }
    return connect();
  }

  // finish() waits for the answer to what was sent, within the patience.
  base::Result<Answer> finish(int sent) {
    if (sent == 0) {
      return lost(trimmed(PQerrorMessage(connection_.get())));
    }
    const auto deadline = Clock::now() + patience_;
    Answer last;
    for (;;) {
      TRY(wait_readable(deadline));
      Answer next(PQgetResult(connection_.get()));
      if (!next) {
        break;
      }
      last = std::move(next);
    }
    if (PQstatus(connection_.get()) != CONNECTION_OK) {
      return lost(trimmed(PQerrorMessage(connection_.get())));
    }
    const auto status = PQresultStatus(last.get());
    if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK) {
      return last;
    }
    return refused(last.get());
  }

  tl::unexpected<base::Error> refused(const PGresult* answer) {
    const auto state = state_of(answer);
    const auto text = trimmed(PQresultErrorMessage(answer));
    conflicted_ = conflicted_ || state == "40001" || state == "40P01";
    // A server that became a standby stays connected and takes no writes: look for the other one.
    if (state == "25006" || state.starts_with("57P")) {
      return lost(text);
    }
    return base::fail(code_of(state), "PostgreSQL: " + text);
  }

  base::Result<void> wait_readable(Clock::time_point deadline) {
    while (PQisBusy(connection_.get()) != 0) {
      const auto left =
          std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
      if (left <= 0) {
        timed_out_ = true;
        return lost("it did not answer in time");
      }
      pollfd waiting{PQsocket(connection_.get()), POLLIN, 0};
      if (::poll(&waiting, 1, static_cast<int>(left)) < 0 && errno != EINTR) {
        return lost(std::strerror(errno));
      }
      if ((waiting.revents & (POLLIN | POLLHUP | POLLERR)) != 0 &&
          PQconsumeInput(connection_.get()) == 0) {
        return lost(trimmed(PQerrorMessage(connection_.get())));
      }
    }
    return {};
  }

  // simple() runs a statement without parameters: its command tag.
  base::Result<std::string> simple(const char* statement) {
    TRY_ASSIGN(answer, finish(PQsendQuery(connection_.get(), statement)));
    return std::string(PQcmdStatus(answer.get()));
  }

  // prepare() gives the name of the prepared statement: one for each text and types.
  base::Result<std::string> prepare(std::string_view text, const std::vector<Value>& parameters) {
    std::string known(text);
    std::vector<Oid> types;
    for (const auto& parameter : parameters) {
      types.push_back(type_of(parameter));
      known += static_cast<char>('0' + parameter.index());
    }
    const auto found = prepared_.find(known);
    if (found != prepared_.end()) {
      return found->second;
    }
    const std::string name = "s" + std::to_string(prepared_.size());
    TRY(finish(PQsendPrepare(connection_.get(), name.c_str(), std::string(text).c_str(),
                             static_cast<int>(types.size()), types.data())));
    prepared_.emplace(std::move(known), name);
    return name;
  }

  base::Result<std::string> setting(const char* show) {
    TRY_ASSIGN(answer, finish(PQsendQuery(connection_.get(), show)));
    return std::string(PQgetvalue(answer.get(), 0, 0));
  }

  base::Result<void> read_durability() {
    TRY_ASSIGN(commit, setting("SHOW synchronous_commit"));
    TRY_ASSIGN(standbys, setting("SHOW synchronous_standby_names"));
    TRY_ASSIGN(fsync, setting("SHOW fsync"));
    weakness_.clear();
    // Without standbys, local and remote_write wait for the server's own disk, as on does.
    const bool waits = commit == "on" || commit == "remote_apply" ||
                       (standbys.empty() && (commit == "local" || commit == "remote_write"));
    if (!waits) {
      weakness_ = "synchronous_commit = " + commit;
    } else if (fsync != "on") {
      weakness_ = "fsync = " + fsync;
    }
    if (!weakness_.empty()) {
      base::log(base::LogLevel::kWarning,
                "PostgreSQL has " + weakness_ + " and can lose what it acknowledged");
    }
    return {};
  }

  std::string where_;
  std::chrono::milliseconds patience_;
  Connection connection_;
  std::map<std::string, std::string, std::less<>> prepared_;
  std::string weakness_;
  bool in_transaction_ = false;
  bool conflicted_ = false;
  bool warned_ = false;
  bool timed_out_ = false;
};

}  // namespace

base::Result<bool> has_password(const std::string& where) {
  char* why = nullptr;
  PQconninfoOption* const options = PQconninfoParse(where.c_str(), &why);
  if (options == nullptr) {
    // What libpq says repeats what it was given.
    PQfreemem(why);
    return base::fail(base::ErrorCode::kInvalidArgument,
                      "libpq cannot read the connection string of the records");
  }
  bool has = false;
  for (const auto* option = options; option->keyword != nullptr; ++option) {
    const std::string_view keyword(option->keyword);
    has = has || (option->val != nullptr && (keyword == "password" || keyword == "sslpassword"));
  }
  PQconninfoFree(options);
  return has;
}

base::Result<std::unique_ptr<Sql>> open_postgres(std::string where,
                                                 std::chrono::milliseconds patience) {
  auto database = std::make_unique<Postgres>(std::move(where), patience);
  TRY(database->connect());
  return base::Result<std::unique_ptr<Sql>>(std::move(database));
}

}  // namespace keybroker::store
