// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <optional>
#include <utility>
#include <variant>

namespace transport::rpc {

namespace asio = boost::asio;

// as_values makes an operation of Asio give its error code as a value.
inline constexpr auto as_values = asio::as_tuple(asio::use_awaitable);

// within() awaits `operation` until `deadline`. Nothing if that came first, or if the caller was
// cancelled; the operation has then been cancelled and has ended.
template <typename T>
asio::awaitable<std::optional<T>> within(std::chrono::steady_clock::time_point deadline,
                                         asio::awaitable<T> operation) {
  using namespace asio::experimental::awaitable_operators;
  asio::steady_timer timer(co_await asio::this_coro::executor, deadline);
  auto first = co_await (std::move(operation) || timer.async_wait(as_values));
  if (first.index() != 0) {
    co_return std::nullopt;
  }
  co_return std::get<0>(std::move(first));
}

template <typename T>
asio::awaitable<std::optional<T>> within(std::chrono::milliseconds limit,
                                         asio::awaitable<T> operation) {
  return within(std::chrono::steady_clock::now() + limit, std::move(operation));
}

}  // namespace transport::rpc
