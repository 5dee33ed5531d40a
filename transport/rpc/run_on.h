// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/execution/outstanding_work.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/prefer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <memory>
#include <type_traits>
#include <utility>

namespace transport::rpc {

// run_on() has `work` done on a thread of the pool and gives what it returns to the coroutine that
// awaits, on the executor of that. `work` is called once, throws nothing, and is destroyed on that
// executor too. A caller that is cancelled waits for it nevertheless. Work that is waiting when the
// pool is stopped is never done: join() the pool instead.
//
// Name what is given to it, and what it returns, before you await: GCC 12 destroys a lambda that is
// made inside the awaiting expression twice.
template <typename Work>
boost::asio::awaitable<std::invoke_result_t<Work&>> run_on(boost::asio::thread_pool& pool,
                                                           Work work) {
  namespace asio = boost::asio;
  using Value = std::invoke_result_t<Work&>;
  using Token = asio::use_awaitable_t<>;
  const auto home = co_await asio::this_coro::executor;
  auto initiate = [&pool, home, work = std::move(work)](auto waiting) mutable {
    // In one place that both threads see in turn: what lies there is not moved between them.
    struct Task {
      Work work;
      decltype(waiting) resume;
      std::unique_ptr<Value> value{};
    };
    auto task = std::make_unique<Task>(Task{std::move(work), std::move(waiting)});
    // The home's loop goes on while somebody waits there.
    auto held = asio::prefer(home, asio::execution::outstanding_work.tracked);
    asio::post(pool, [task = std::move(task), held = std::move(held)]() mutable {
      task->value = std::make_unique<Value>(task->work());
      asio::post(held, [task = std::move(task)]() mutable {
        auto value = std::move(task->value);
        auto resume = std::move(task->resume);
        task.reset();
        resume(std::move(*value));
      });
    });
  };
  auto value = co_await asio::async_initiate<const Token, void(Value)>(std::move(initiate),
                                                                       asio::use_awaitable);
  co_return value;
}

}  // namespace transport::rpc
