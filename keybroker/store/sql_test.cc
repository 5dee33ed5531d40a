// SPDX-License-Identifier: Apache-2.0
#include "keybroker/store/sql.h"

#include <gtest/gtest.h>

#include <atomic>
#include <barrier>
#include <filesystem>
#include <fstream>
#include <thread>
#include <utility>

#include "keybroker/store/postgres.h"
#include "keybroker/store/sqlite.h"
#include "tests/support/error_code.h"
#include "tests/support/postgres_server.h"
#include "tests/support/record_fixture.h"

namespace keybroker::store {
namespace {

using base::ErrorCode;
using namespace tests::support;

class SqlTest : public RecordFixture {};

INSTANTIATE_TEST_SUITE_P(Engines, SqlTest, engines(), engine_name);

TEST_P(SqlTest, EveryKindOfValueComesBackAsItWas) {
  const auto sql = connect();
  ASSERT_TRUE(sql->execute("CREATE TABLE kept (a bigint, b text, c bytea, d bytea)", {}));
  const Row row = {std::int64_t{-5}, std::string("text"), base::Bytes{std::byte{0}}, base::Bytes()};
  const Row nulls(4);
  // Parameters by number, whatever their order in the text.
  ASSERT_TRUE(sql->execute("INSERT INTO kept (d, c, b, a) VALUES ($4, $3, $2, $1)", row));
  ASSERT_TRUE(sql->execute("INSERT INTO kept (d, c, b, a) VALUES ($4, $3, $2, $1)", nulls));

  EXPECT_EQ(*sql->execute("SELECT a, b, c, d FROM kept ORDER BY coalesce(a, 0)", {}),
            (std::vector{row, nulls}));
}

TEST_P(SqlTest, ATransactionThatFailsLeavesNothing) {
  const auto sql = connect();
  ASSERT_TRUE(sql->execute("CREATE TABLE kept (a bigint NOT NULL PRIMARY KEY)", {}));
  const auto insert_then = [&sql](base::Result<Then> end) {
    return sql->transaction([&]() -> base::Result<Then> {
      TRY(sql->execute("INSERT INTO kept VALUES ($1)", {std::int64_t{1}}));
      return end;
    });
  };

  EXPECT_EQ(error_code(insert_then(base::fail(ErrorCode::kDenied, "no"))), ErrorCode::kDenied);
  EXPECT_TRUE(insert_then(Then::kRollBack));
  EXPECT_TRUE(sql->execute("SELECT a FROM kept", {})->empty());
  EXPECT_EQ(*insert_then(Then::kCommit), Commit::kDurable);
  EXPECT_EQ(error_code(insert_then(Then::kCommit)), ErrorCode::kDenied) << "twice the same key";
  EXPECT_EQ(sql->execute("SELECT a FROM kept", {})->size(), 1U);
}

TEST_P(SqlTest, ATableThatIsNotThereIsCorrupt) {
  const auto sql = connect();
  EXPECT_EQ(error_code(sql->execute("SELECT a FROM nothing", {})), ErrorCode::kCorrupt);
}

TEST_P(SqlTest, TwoProgramsMayMakeTheTablesAtOnce) {
  const auto sql = connect();
  std::optional<base::Result<BrokerRecords>> other;
  std::thread thread([&] { other = BrokerRecords::over(connect(), seal()); });
  const auto records = BrokerRecords::over(connect(), seal());
  thread.join();
  EXPECT_TRUE(records) << records.error().message;
  EXPECT_TRUE(*other) << other->error().message;
}

TEST_P(SqlTest, RecordsOfANewerProgramAreRefused) {
  ASSERT_TRUE(BrokerRecords::over(connect(), seal()));
  ASSERT_TRUE(connect()->execute("UPDATE schema_version SET version = version + 1", {}));
  const auto newer = BrokerRecords::over(connect(), seal());
  ASSERT_FALSE(newer);
  EXPECT_EQ(newer.error().code, ErrorCode::kDenied);
  EXPECT_NE(newer.error().message.find("newer"), std::string::npos) << newer.error().message;
}

TEST_P(SqlTest, RecordsOfBeforeTheFirstReleaseAreRefused) {
  ASSERT_TRUE(BrokerRecords::over(connect(), seal()));
  ASSERT_TRUE(connect()->execute("UPDATE schema_version SET version = 3", {}));
  const auto older = BrokerRecords::over(connect(), seal());
  ASSERT_FALSE(older);
  EXPECT_EQ(older.error().code, ErrorCode::kDenied);
  EXPECT_NE(older.error().message.find("first release"), std::string::npos);
}

// Two transactions take two rows in different orders, each its first before either its second: a
// deadlock, of which PostgreSQL ends one. SQLite has one writer at a time.
TEST(PostgresTest, ATransactionInADeadlockIsRunAgain) {
  const auto server = *PostgresServer::start();
  const auto first = *open_postgres(server.where("postgres"));
  const auto second = *open_postgres(server.where("postgres"));
  ASSERT_TRUE(first->execute("CREATE TABLE kept (id bigint NOT NULL PRIMARY KEY, a bigint)", {}));
  ASSERT_TRUE(first->execute("INSERT INTO kept VALUES (1, 0), (2, 0)", {}));
  std::barrier both_hold_one(2);
  std::atomic<int> runs = 0;
  const auto count = [&](Sql& sql, std::int64_t one, std::int64_t two) {
    bool is_first_run = true;
    const auto done = sql.transaction([&]() -> base::Result<Then> {
      ++runs;
      TRY(sql.execute("UPDATE kept SET a = a + 1 WHERE id = $1", {one}));
      if (std::exchange(is_first_run, false)) {
        both_hold_one.arrive_and_wait();
      }
      TRY(sql.execute("UPDATE kept SET a = a + 1 WHERE id = $1", {two}));
      return Then::kCommit;
    });
    EXPECT_TRUE(done) << done.error().message;
  };
  std::thread thread([&] { count(*second, 2, 1); });
  count(*first, 1, 2);
  thread.join();

  EXPECT_GE(runs, 3);
  EXPECT_EQ(*first->execute("SELECT a FROM kept ORDER BY id", {}),
            (std::vector<Row>{{std::int64_t{2}}, {std::int64_t{2}}}));
}

TEST(SqliteTest, WhatIsNoDatabaseOfOursIsCorrupt) {
  const TempFolder folder;
  std::ofstream(folder / "text") << std::string(4096, 'x');
  EXPECT_EQ(error_code(open_sqlite(folder / "text")), ErrorCode::kCorrupt);

  auto other = *open_sqlite(folder / "other");
  ASSERT_TRUE(other->execute("CREATE TABLE someones (a bigint)", {}));
  EXPECT_EQ(error_code(BrokerRecords::over(std::move(other), seal())), ErrorCode::kCorrupt);
}

TEST(SqliteTest, TheFileIsItsOwnersAlone) {
  const TempFolder folder;
  auto records = *BrokerRecords::over(*open_sqlite(folder / "records"), seal());
  for (const auto& file : std::filesystem::directory_iterator(folder.path())) {
    EXPECT_EQ(file.status().permissions() & std::filesystem::perms::mask,
              std::filesystem::perms::owner_read | std::filesystem::perms::owner_write)
        << file.path();
  }
}

TEST(SqliteTest, ABackupHasWhatWasAcknowledgedAndTakesNobodysPlace) {
  const TempFolder folder;
  auto records = *BrokerRecords::over(*open_sqlite(folder / "records"), seal());
  register_one(records);
  const auto copy = folder / "copy";

  ASSERT_TRUE(back_up_sqlite(records.sql(), copy));
  granted(records.claim(claim_of(1, 0), act()));

  EXPECT_EQ(error_code(back_up_sqlite(records.sql(), copy)), ErrorCode::kDenied);
  EXPECT_TRUE(check_backup(copy));
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 4)
      << "the records with their log and its index, and one file of the backup";
  auto restored = *BrokerRecords::over(*open_sqlite(copy), seal());
  EXPECT_EQ(restored.vm(kVm)->registration, registration());
  EXPECT_EQ(restored.vm(kVm)->epoch, 0U);
}

TEST(SqliteTest, ADamagedBackupIsFound) {
  const TempFolder folder;
  auto records = *BrokerRecords::over(*open_sqlite(folder / "records"), seal());
  register_one(records);
  ASSERT_TRUE(back_up_sqlite(records.sql(), folder / "copy"));
  std::fstream file(folder / "copy", std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(4096);
  file << std::string(8192, '\xEE');
  file.close();
  EXPECT_EQ(error_code(check_backup(folder / "copy")), ErrorCode::kCorrupt);
}

TEST(PostgresTest, AServerThatIsAwayIsUnavailableAndFoundAgain) {
  auto server = *PostgresServer::start();
  ASSERT_TRUE(server.create_database("records"));
  auto records = *BrokerRecords::over(*open_postgres(server.where("records")), seal());
  register_one(records);

  ASSERT_TRUE(server.restart());
  EXPECT_EQ(granted(records.claim(claim_of(1, 0), act())).epoch, 1U);

  server.kill();
  EXPECT_EQ(error_code(records.claim(claim_of(2, 1, 2), act())), ErrorCode::kUnavailable);
  EXPECT_EQ(error_code(open_postgres(server.where("records"))), ErrorCode::kUnavailable);
  EXPECT_EQ(error_code(back_up_sqlite(records.sql(), "nowhere")), ErrorCode::kInvalidArgument);
}

// After a fail-over the first question on each idle connection must not send a boot away.
TEST(PostgresTest, WhatOnlyReadsIsAskedAgainOnANewConnection) {
  auto server = *PostgresServer::start();
  ASSERT_TRUE(server.create_database("records"));
  const auto sql = *open_postgres(server.where("records"));
  ASSERT_TRUE(sql->execute("CREATE TABLE kept (a bigint)", {}));

  ASSERT_TRUE(server.restart());
  const auto read = sql->execute("SELECT a FROM kept", {});
  EXPECT_TRUE(read) << read.error().message;

  // What writes may have been done, and is not done twice unasked.
  ASSERT_TRUE(server.restart());
  EXPECT_EQ(error_code(sql->execute("INSERT INTO kept VALUES (1)", {})), ErrorCode::kUnavailable);
  EXPECT_TRUE(sql->execute("INSERT INTO kept VALUES (1)", {}));
}

// A substring was once looked for: a URI's password was taken, and a database of that name was not.
TEST(PostgresTest, APasswordInAConnectionStringIsSeenWhereverItStands) {
  EXPECT_TRUE(*has_password("postgresql://broker:hunter2@host/db"));
  EXPECT_TRUE(*has_password("host=a password=hunter2"));
  EXPECT_TRUE(*has_password("postgresql://host/db?sslpassword=hunter2"));
  EXPECT_FALSE(*has_password("dbname=password_db passfile=/etc/keybrokerd/pass"));
  EXPECT_FALSE(*has_password("postgresql://broker@host/db"));
  const auto unreadable = has_password("dbname='hunter2");
  ASSERT_EQ(error_code(unreadable), ErrorCode::kInvalidArgument);
  EXPECT_EQ(unreadable.error().message.find("hunter2"), std::string::npos);
}

TEST(PostgresTest, AServerThatMayLoseAnEpochGetsNone) {
  const auto server = *PostgresServer::start({"synchronous_commit = off"});
  ASSERT_TRUE(server.create_database("records"));
  auto records = *BrokerRecords::over(*open_postgres(server.where("records")), seal());
  register_one(records);

  const auto denied = records.claim(claim_of(1, 0), act());
  ASSERT_FALSE(denied);
  EXPECT_EQ(denied.error().code, ErrorCode::kDenied);
  EXPECT_NE(denied.error().message.find("synchronous_commit = off"), std::string::npos);
  EXPECT_EQ(error_code(records.anchor(anchor_of(1, 1, 5), act())), ErrorCode::kDenied);
}

// Whether commits wait for the standby named "absent" by now, for ten seconds at most. A new
// session has the name once the server has read it and told its other processes; it is the
// checkpointer that makes commits wait, and that looks before each checkpoint but the one it may be
// about to begin.
bool standby_is_waited_for(const PostgresServer& server) {
  constexpr const char* kIsNamed =
      "SELECT 1 / (current_setting('synchronous_standby_names') = 'absent')::int";
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (!server.run_sql("postgres", kIsNamed)) {
    if (std::chrono::steady_clock::now() > end) {
      return false;
    }
  }
  return server.run_sql("postgres", "CHECKPOINT") && server.run_sql("postgres", "CHECKPOINT");
}

// A standby that is named and not there: the commit is on the primary's disk, and no standby has
// it. Whoever is told "done" then could be told otherwise after a fail-over.
TEST(PostgresTest, ACommitThatNoStandbyHasIsNotAcknowledged) {
  const auto server = *PostgresServer::start();
  ASSERT_TRUE(server.create_database("records"));
  auto records = *BrokerRecords::over(
      *open_postgres(server.where("records"), std::chrono::seconds(2)), seal());
  register_one(records);
  ASSERT_TRUE(server.run_sql("postgres", "ALTER SYSTEM SET synchronous_standby_names = 'absent'"));
  ASSERT_TRUE(server.run_sql("postgres", "SELECT pg_reload_conf()"));
  ASSERT_TRUE(standby_is_waited_for(server));
  const auto once = act();

  EXPECT_EQ(error_code(records.claim(claim_of(1, 0), once)), ErrorCode::kUnavailable);

  // Cancelling the wait makes PostgreSQL answer COMMIT, with a warning. This connection waits for
  // as long as it takes, so each answer it gets is one of those. It is made without a standby as
  // well: tables that are there are not written.
  auto patient = *BrokerRecords::over(
      *open_postgres(server.where("records"), std::chrono::minutes(5)), seal());
  std::atomic<bool> is_answered = false;
  std::thread cancel([&] {
    while (!is_answered) {
      EXPECT_TRUE(server.run_sql("postgres",
                                 "SELECT pg_cancel_backend(pid) FROM pg_stat_activity "
                                 "WHERE application_name = 'strongroom' "
                                 "AND wait_event = 'SyncRep'"));
    }
  });
  const auto unacknowledged = patient.claim(claim_of(1, 0), once);
  is_answered = true;
  cancel.join();
  EXPECT_EQ(error_code(unacknowledged), ErrorCode::kUnavailable);

  ASSERT_TRUE(server.run_sql("postgres", "ALTER SYSTEM RESET synchronous_standby_names"));
  ASSERT_TRUE(server.run_sql("postgres", "SELECT pg_reload_conf()"));
  const auto found = granted(records.claim(claim_of(1, 0), once));
  EXPECT_TRUE(found.repeated);
  EXPECT_EQ(found.epoch, 1U);
}

}  // namespace
}  // namespace keybroker::store
