// SPDX-License-Identifier: Apache-2.0
// A writer of claims and anchors notes what was acknowledged; the machine under it dies.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <csignal>
#include <thread>

#include "keybroker/store/postgres.h"
#include "keybroker/store/sqlite.h"
#include "tests/support/postgres_server.h"
#include "tests/support/record_fixture.h"
#include "vmgs/base/descriptor.h"

namespace {

using namespace tests::support;
using namespace keybroker::store;

// What a boot did last: the same request again finds out what became of it.
struct Step {
  std::uint64_t epoch = 0;
  bool is_anchor = false;
};

BootId boot_of(std::uint64_t epoch) {
  BootId boot_id{};
  for (std::size_t i = 0; i < 8; ++i) {
    boot_id[i] = static_cast<std::byte>(epoch >> (8 * i));
  }
  return boot_id;
}

// A request id for each step, the same whoever asks.
Act act_of(const Step& step) {
  Act made{.now = kNow};
  made.request_id = boot_of(step.epoch);
  made.request_id[15] = std::byte{step.is_anchor ? std::uint8_t{1} : std::uint8_t{2}};
  return made;
}

base::Result<ClaimOutcome> claim(BrokerRecords& records, std::uint64_t epoch) {
  auto request = claim_of(0, epoch - 1);
  request.boot_id = boot_of(epoch);
  std::copy(request.boot_id.begin(), request.boot_id.end(), request.nonce.begin());
  return records.claim(request, act_of({epoch, false}));
}

base::Result<AnchorOutcome> anchor(BrokerRecords& records, std::uint64_t epoch) {
  auto request = anchor_of(0, epoch, 10 * epoch);
  request.boot_id = boot_of(epoch);
  return records.anchor(request, act_of({epoch, true}));
}

// write() claims and anchors, one epoch after another, and calls `acknowledged` after each step,
// until a step fails: that one, whose outcome nobody knows.
template <typename Acknowledged>
Step write(BrokerRecords& records, Acknowledged&& acknowledged) {
  for (std::uint64_t epoch = 1;; ++epoch) {
    const auto claimed = claim(records, epoch);
    if (!claimed) {
      return {epoch, false};
    }
    EXPECT_EQ(granted(claimed).epoch, epoch);
    acknowledged(Step{epoch, false});
    const auto anchored = anchor(records, epoch);
    if (!anchored) {
      return {epoch, true};
    }
    granted(anchored);
    acknowledged(Step{epoch, true});
  }
}

// expect_kept() compares the records with the last acknowledged step: nothing of it is gone, and at
// most the one step after it was made as well.
void expect_kept(BrokerRecords& records, const Step& last) {
  const auto record = *records.vm(kVm);
  EXPECT_GE(record.epoch, last.epoch);
  EXPECT_LE(record.epoch, last.epoch + 1);
  const std::uint64_t anchored = last.is_anchor ? last.epoch : last.epoch - 1;
  EXPECT_GE(record.anchor ? record.anchor->epoch : 0, anchored);
  EXPECT_LE(record.anchor ? record.anchor->epoch : 0, anchored + 1);
  // Each claim and each anchor is a line, and registering was one.
  const auto lines = verify_chain(records.sql(), vm_subject(kVm));
  ASSERT_TRUE(lines) << lines.error().message;
  EXPECT_EQ(*lines, 1 + record.epoch + (record.anchor ? record.anchor->epoch : 0));
}

// resolve() asks again for the step whose outcome is unknown.
void resolve(BrokerRecords& records, const Step& unknown) {
  if (unknown.is_anchor) {
    granted(anchor(records, unknown.epoch));
    EXPECT_EQ(records.vm(kVm)->anchor->epoch, unknown.epoch);
  } else {
    EXPECT_EQ(granted(claim(records, unknown.epoch)).epoch, unknown.epoch);
  }
}

TEST(RecordsCrashTest, AWriterThatIsKilledLosesNothingAcknowledgedInSqlite) {
  constexpr int kKills = 8;
  for (int kills = 0; kills < kKills; ++kills) {
    const TempFolder folder;
    std::array<int, 2> ends{};
    ASSERT_EQ(::pipe(ends.data()), 0);
    const base::Descriptor reading(ends[0]);
    base::Descriptor writing(ends[1]);
    const pid_t child = ::fork();
    if (child == 0) {
      auto records = *BrokerRecords::over(*open_sqlite(folder / "records"), seal());
      register_one(records);
      write(records, [&writing](const Step& step) {
        if (::write(writing.number(), &step, sizeof step) != sizeof step) {
          ::_exit(1);
        }
      });
      ::_exit(1);
    }
    writing = base::Descriptor();
    Step last;
    for (int steps = 0; steps < 5 + 7 * kills; ++steps) {
      ASSERT_EQ(::read(reading.number(), &last, sizeof last), static_cast<ssize_t>(sizeof last));
    }
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    // What it acknowledged before the signal reached it counts.
    for (Step step; ::read(reading.number(), &step, sizeof step) == sizeof step;) {
      last = step;
    }
    auto records = *BrokerRecords::over(*open_sqlite(folder / "records"), seal());
    expect_kept(records, last);
    resolve(records, last.is_anchor ? Step{last.epoch + 1, false} : Step{last.epoch, true});
  }
}

TEST(RecordsCrashTest, APromotedStandbyHasAllThatThePrimaryAcknowledged) {
  constexpr int kFailovers = 3;
  for (int failovers = 0; failovers < kFailovers; ++failovers) {
    auto primary = *PostgresServer::start({"synchronous_commit = on"});
    ASSERT_TRUE(primary.create_database("records"));
    auto standby_started = PostgresServer::start_standby_of(primary, "second");
    ASSERT_TRUE(standby_started) << standby_started.error().message;
    auto standby = *std::move(standby_started);
    ASSERT_TRUE(
        primary.run_sql("postgres", "ALTER SYSTEM SET synchronous_standby_names = 'second'"));
    // A reload reaches the processes of the server one by one; a start has it from the beginning.
    ASSERT_TRUE(primary.restart());
    // One connection string with both, as a broker has it.
    const auto where = "host=" + primary.socket_folder().string() + "," +
                       standby.socket_folder().string() +
                       " port=5432,5432 user=postgres dbname=records";
    auto records = *BrokerRecords::over(*open_postgres(where), seal());
    register_one(records);

    std::atomic<int> steps = 0;
    Step last;
    Step unknown;
    std::thread writer([&] {
      unknown = write(records, [&](const Step& step) {
        last = step;
        ++steps;
        steps.notify_one();
      });
    });
    for (int seen = steps; seen < 20 + 13 * failovers; seen = steps) {
      steps.wait(seen);
    }
    primary.kill();
    writer.join();
    const auto promoted = standby.promote();
    ASSERT_TRUE(promoted) << promoted.error().message;

    expect_kept(records, last);
    resolve(records, unknown);
    granted(unknown.is_anchor ? claim(records, unknown.epoch + 1) : claim(records, unknown.epoch));
  }
}

}  // namespace
