// SPDX-License-Identifier: Apache-2.0
#include "keybroker/store/once.h"

#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <future>
#include <thread>
#include <utility>

#include "keybroker/store/postgres.h"
#include "keybroker/store/single_use.h"
#include "tests/support/error_code.h"
#include "tests/support/postgres_server.h"
#include "tests/support/record_fixture.h"

namespace keybroker::store {
namespace {

using namespace tests::support;

// LateSql is a connection that lost the answer to its first COMMIT: the transaction becomes visible
// only once the next one, over another connection, waits for what it holds.
class LateSql final : public Sql {
 public:
  explicit LateSql(const PostgresServer& server)
      : lost_(*open_postgres(server.where("records"))),
        next_(*open_postgres(server.where("records"))),
        watching_(*open_postgres(server.where("records"))) {}

  ~LateSql() override {
    if (late_.joinable()) {
      late_.join();
    }
  }

  base::Result<std::vector<Row>> execute(std::string_view statement,
                                         const std::vector<Value>& parameters) override {
    return now_->execute(statement, parameters);
  }

  base::Result<void> is_durable() override { return {}; }

  [[nodiscard]] bool is_sqlite() const override { return false; }

  // Whether the second attempt did wait.
  std::atomic<bool> has_waited = false;

 protected:
  base::Result<void> begin() override {
    TRY(now_->execute("BEGIN", {}));
    return {};
  }

  base::Result<Commit> commit() override {
    if (now_ == next_.get()) {
      TRY(now_->execute("COMMIT", {}));
      return Commit::kDurable;
    }
    now_ = next_.get();
    late_ = std::thread([this] {
      while (!has_waited) {
        const auto waiting = watching_->execute(
            "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock'", {});
        ASSERT_TRUE(waiting) << waiting.error().message;
        has_waited = !waiting->empty();
      }
      ASSERT_TRUE(lost_->execute("COMMIT", {}));
    });
    return Commit::kUnknown;
  }

  void roll_back() override { EXPECT_TRUE(now_->execute("ROLLBACK", {})); }

  [[nodiscard]] bool conflicted() const override { return false; }

 private:
  std::unique_ptr<Sql> lost_;
  std::unique_ptr<Sql> next_;
  std::unique_ptr<Sql> watching_;
  Sql* now_ = lost_.get();
  std::thread late_;
};

// WatchedSql is a connection with something to be done before each COMMIT.
class WatchedSql final : public Sql {
 public:
  explicit WatchedSql(std::unique_ptr<Sql> below) : below_(std::move(below)) {}

  base::Result<std::vector<Row>> execute(std::string_view statement,
                                         const std::vector<Value>& parameters) override {
    return below_->execute(statement, parameters);
  }

  base::Result<void> is_durable() override { return below_->is_durable(); }

  [[nodiscard]] bool is_sqlite() const override { return false; }

  std::function<void()> before_commit = [] {};

 protected:
  base::Result<void> begin() override {
    TRY(below_->execute("BEGIN", {}));
    return {};
  }

  base::Result<Commit> commit() override {
    before_commit();
    TRY(below_->execute("COMMIT", {}));
    return Commit::kDurable;
  }

  void roll_back() override { EXPECT_TRUE(below_->execute("ROLLBACK", {})); }

  [[nodiscard]] bool conflicted() const override { return false; }

 private:
  std::unique_ptr<Sql> below_;
};

class OnceTest : public ::testing::Test {
 protected:
  OnceTest() {
    EXPECT_TRUE(server_.create_database("records"));
    records_.emplace(*BrokerRecords::over(*open_postgres(server_.where("records")), seal()));
    register_one(*records_);
  }

  PostgresServer server_ = *PostgresServer::start();
  std::optional<BrokerRecords> records_;
};

// The second attempt waited for the first one's nonce, found it used, and said so: the use of the
// very request was refused, for good.
TEST_F(OnceTest, AUseWhoseCommitIsSeenLateIsGranted) {
  LateSql late(server_);
  Nonce nonce{};
  nonce.fill(std::byte{1});

  const auto used = use_once(late, kVm, nonce, kNow, "attested", act());

  ASSERT_TRUE(used) << used.error().message;
  EXPECT_TRUE(late.has_waited);
  EXPECT_TRUE(*used);
  EXPECT_EQ(last_line(*records_).kind, "attested");
  EXPECT_FALSE(*use_once(records_->sql(), kVm, nonce, kNow, "attested", act()));
}

// The second attempt failed with a duplicate key, over what the first had stored.
TEST_F(OnceTest, AChangeWhoseCommitIsSeenLateIsMade) {
  LateSql late(server_);
  const auto add = [&]() -> base::Result<bool> {
    TRY(late.execute("INSERT INTO tenant (tenant_id, name, created) VALUES ($1, 'C', 0)",
                     {base::copy_of(id(0x77))}));
    return true;
  };

  const auto added = change(late, tenant_subject(id(0x77)), "added", act(), add);

  EXPECT_TRUE(added) << added.error().message;
  EXPECT_TRUE(late.has_waited);
  EXPECT_TRUE(records_->tenant(id(0x77)));
}

// A VM was registered under a key-encryption key while the next was on its way into the records,
// and the rotation that had brought it did not see the VM.
TEST_F(OnceTest, NothingIsWrappedUnderAKeyWhileTheNextIsAdded) {
  ASSERT_TRUE(records_->add_kek({kTenant, 1, "software", {}, ""}, act()));
  auto connection = std::make_unique<WatchedSql>(*open_postgres(server_.where("records")));
  auto* const watched = connection.get();
  auto rotating = *BrokerRecords::over(std::move(connection), seal());
  const auto watching = *open_postgres(server_.where("records"));
  auto vm = registration();
  vm.vm_id = id(0x11);
  const auto its_act = act();
  std::future<std::optional<base::ErrorCode>> registered;
  watched->before_commit = [&] {
    registered = std::async(std::launch::async,
                            [&] { return error_code(records_->register_vm(vm, key(), its_act)); });
    const auto is_waiting = [&] {
      return !watching
                  ->execute("SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock'", {})
                  ->empty();
    };
    while (registered.wait_for(std::chrono::seconds(0)) != std::future_status::ready &&
           !is_waiting()) {
    }
  };

  ASSERT_TRUE(rotating.add_kek({kTenant, 2, "software", {}, ""}, act()));

  EXPECT_EQ(registered.get(), base::ErrorCode::kUnavailable);
  EXPECT_EQ(error_code(records_->vm(vm.vm_id)), base::ErrorCode::kNotFound);
}

TEST_F(OnceTest, ADeletionWhoseCommitIsSeenLateIsMade) {
  LateSql late(server_);
  const auto drop = [&]() -> base::Result<bool> {
    TRY_ASSIGN(rows, late.execute("DELETE FROM vm_policy WHERE vm_id = $1 RETURNING vm_id",
                                  {base::copy_of(kVm)}));
    if (rows.empty()) {
      return base::fail(base::ErrorCode::kNotFound, "there is none");
    }
    return true;
  };

  const auto dropped = change(late, vm_subject(kVm), "dropped", act(), drop);

  EXPECT_TRUE(dropped) << dropped.error().message;
  EXPECT_TRUE(late.has_waited);
}

}  // namespace
}  // namespace keybroker::store
