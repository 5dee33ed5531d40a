// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <optional>
#include <utility>

#include "transport/rpc/within.h"

namespace transport::rpc {

// What ended the wait for a handler.
enum class Ending { kHandler, kHangUp, kDeadline };

// await_handler() runs `handler` until it is done, the caller hangs up or the deadline passes. Its
// value is there if it was done first.
template <typename T>
asio::awaitable<std::pair<Ending, std::optional<T>>> await_handler(
    asio::awaitable<T> handler, asio::awaitable<void> hang_up,
    std::optional<std::chrono::steady_clock::time_point> deadline) {
  using namespace asio::experimental::awaitable_operators;
  asio::steady_timer timer(co_await asio::this_coro::executor,
                           deadline.value_or(std::chrono::steady_clock::time_point::max()));
  auto first = co_await (std::move(handler) || std::move(hang_up) || timer.async_wait(as_values));
  if (first.index() == 0) {
    co_return std::pair(Ending::kHandler, std::optional<T>(std::get<0>(std::move(first))));
  }
  co_return std::pair(first.index() == 1 ? Ending::kHangUp : Ending::kDeadline, std::optional<T>());
}

}  // namespace transport::rpc
