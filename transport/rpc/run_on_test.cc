// SPDX-License-Identifier: Apache-2.0
#include "transport/rpc/run_on.h"

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_future.hpp>
#include <future>
#include <memory>
#include <thread>

#include "transport/rpc/within.h"

namespace transport::rpc {
namespace {

template <typename T>
T run(asio::io_context& io, asio::awaitable<T> operation) {
  auto result = asio::co_spawn(io, std::move(operation), asio::use_future);
  io.restart();
  io.run();
  return result.get();
}

asio::awaitable<std::pair<std::thread::id, std::thread::id>> where_it_runs(
    asio::thread_pool& pool) {
  auto work = [] { return std::this_thread::get_id(); };
  const auto there = co_await run_on(pool, std::move(work));
  co_return std::pair(there, std::this_thread::get_id());
}

TEST(RunOnTest, WorksOnThePoolAndComesHome) {
  asio::io_context io;
  asio::thread_pool pool(1);

  const auto [there, here] = run(io, where_it_runs(pool));

  EXPECT_NE(there, std::this_thread::get_id());
  EXPECT_EQ(here, std::this_thread::get_id());
}

asio::awaitable<std::unique_ptr<int>> moved_value(asio::thread_pool& pool) {
  auto work = [given = std::make_unique<int>(41)]() mutable {
    ++*given;
    return std::move(given);
  };
  auto value = co_await run_on(pool, std::move(work));
  co_return value;
}

TEST(RunOnTest, TakesAndGivesWhatCanOnlyBeMoved) {
  asio::io_context io;
  asio::thread_pool pool(1);

  EXPECT_EQ(*run(io, moved_value(pool)), 42);
}

asio::awaitable<int> meet(asio::thread_pool& pool, std::promise<void>* mine,
                          std::shared_future<void> theirs) {
  auto work = [mine, theirs] {
    mine->set_value();
    theirs.wait();
    return 1;
  };
  const auto met = co_await run_on(pool, std::move(work));
  co_return met;
}

// Each waits for the other, so that one thread would never end.
TEST(RunOnTest, UsesAllThreadsOfThePool) {
  asio::io_context io;
  asio::thread_pool pool(2);
  std::promise<void> first;
  std::promise<void> second;
  auto of_first = first.get_future().share();
  auto of_second = second.get_future().share();

  auto one = asio::co_spawn(io, meet(pool, &first, of_second), asio::use_future);
  auto other = asio::co_spawn(io, meet(pool, &second, of_first), asio::use_future);
  io.run();

  EXPECT_EQ(one.get() + other.get(), 2);
}

asio::awaitable<int> slow(asio::thread_pool& pool, std::shared_future<void> go_on) {
  auto work = [go_on] {
    go_on.wait();
    return 7;
  };
  const auto value = co_await run_on(pool, std::move(work));
  co_return value;
}

asio::awaitable<std::optional<int>> impatient(asio::thread_pool& pool, std::promise<void>* go_on) {
  // The deadline has passed before the work can end.
  const auto value =
      co_await within(std::chrono::milliseconds(0), slow(pool, go_on->get_future().share()));
  co_return value;
}

// What works on a caller's things must have ended when the caller goes on.
TEST(RunOnTest, IsWaitedForByACallerThatIsCancelled) {
  asio::io_context io;
  asio::thread_pool pool(1);
  std::promise<void> go_on;
  auto result = asio::co_spawn(io, impatient(pool, &go_on), asio::use_future);
  while (io.poll_one() != 0) {
  }
  io.restart();
  io.run_for(std::chrono::milliseconds(20));
  EXPECT_EQ(result.wait_for(std::chrono::seconds(0)), std::future_status::timeout);

  go_on.set_value();
  io.restart();
  io.run();

  EXPECT_EQ(result.get(), std::nullopt);
}

}  // namespace
}  // namespace transport::rpc
