// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/release_rate.h"

#include <unistd.h>

#include <atomic>
#include <ctime>
#include <fstream>
#include <latch>
#include <mutex>
#include <sstream>
#include <thread>

namespace tests::bench {

namespace {

using Clock = std::chrono::steady_clock;

std::chrono::nanoseconds own_processor_time() {
  timespec time{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
}

// The process that serves a connection to PostgreSQL on this machine; nothing for SQLite.
std::optional<std::int64_t> server_of(store::Sql& sql) {
  if (sql.is_sqlite()) {
    return std::nullopt;
  }
  const auto rows = sql.execute("SELECT pg_backend_pid()", {});
  return rows ? std::optional(std::get<std::int64_t>(rows->at(0).at(0))) : std::nullopt;
}

// utime and stime of /proc/PID/stat, proc(5).
std::chrono::nanoseconds processor_time(std::optional<std::int64_t> pid) {
  if (!pid) {
    return {};
  }
  std::ifstream file("/proc/" + std::to_string(*pid) + "/stat");
  std::string text;
  std::getline(file, text);
  std::istringstream fields(text.substr(text.rfind(')') + 2));
  constexpr int kBefore = 11;  // of the fields after the name
  std::string skipped;
  for (int i = 0; i < kBefore; ++i) {
    fields >> skipped;
  }
  std::int64_t user = 0;
  std::int64_t system = 0;
  fields >> user >> system;
  return std::chrono::nanoseconds((user + system) * (1'000'000'000 / ::sysconf(_SC_CLK_TCK)));
}

// Work is what all workers share.
struct Work {
  const Task& task;
  std::size_t count;
  std::optional<double> per_second;
  std::latch ready;
  std::latch begun;
  Clock::time_point begin{};
  std::atomic<std::size_t> next{0};
  std::mutex mutex{};
  Rate rate{};
  std::optional<base::Error> error{};
};

void work_on(Work& work, TestBroker& at) {
  TestBroker::Thread thread(at);
  const auto server = server_of(thread.records.sql());
  // Its statements are prepared by whoever did the first of them: part of what is measured.
  work.ready.count_down();
  work.begun.wait();
  const auto processor = own_processor_time();
  const auto server_processor = processor_time(server);
  std::vector<std::chrono::nanoseconds> times;
  std::optional<base::Error> error;
  for (auto i = work.next++; i < work.count && !error; i = work.next++) {
    auto turn = Clock::now();
    if (work.per_second) {
      turn = work.begin + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(
                              static_cast<double>(i) / *work.per_second));
      std::this_thread::sleep_until(turn);
    }
    if (auto done = work.task(thread, i); !done) {
      error = done.error();
    }
    times.push_back(Clock::now() - turn);
  }
  const std::lock_guard lock(work.mutex);
  work.rate.workers += own_processor_time() - processor;
  work.rate.servers += processor_time(server) - server_processor;
  for (const auto time : times) {
    work.rate.latency.add(time);
  }
  if (error) {
    work.error = std::move(error);
  }
}

}  // namespace

base::Result<Rate> run_workers(ReleaseLoad& load, std::size_t workers, std::size_t count,
                               std::optional<double> per_second, const Task& task) {
  Work work{.task = task,
            .count = count,
            .per_second = per_second,
            .ready = std::latch(static_cast<std::ptrdiff_t>(workers)),
            .begun = std::latch(1)};
  std::vector<std::jthread> threads;
  for (std::size_t i = 0; i < workers; ++i) {
    threads.emplace_back([&] { work_on(work, load.broker()); });
  }
  work.ready.wait();
  work.begin = Clock::now();
  work.begun.count_down();
  threads.clear();  // joins
  if (work.error) {
    return base::fail(std::move(*work.error));
  }
  work.rate.count = count;
  work.rate.wall = Clock::now() - work.begin;
  return work.rate;
}

}  // namespace tests::bench
