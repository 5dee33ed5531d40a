// SPDX-License-Identifier: Apache-2.0
#include "transport/rpc/lines.h"

#include <sys/socket.h>

#include <boost/asio/connect.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/post.hpp>
#include <utility>

#include "transport/rpc/within.h"

namespace transport::rpc {

namespace {

using asio::ip::tcp;
using base::ErrorCode;
using boost::system::error_code;
using Clock = std::chrono::steady_clock;
using Socket = tls::Stream::Socket;

// Less than a server's idle limit, so that the two do not meet often.
constexpr std::chrono::seconds kLongestIdle{20};
constexpr std::size_t kMostKept = 16;

base::Error no_service(const std::string& where, const error_code& error) {
  return {ErrorCode::kUnavailable, "no service answers at " + where + ": " + error.message()};
}

// A name is looked up on a thread of Asio's that cannot be interrupted. Whoever is cancelled goes
// on without its answer.
struct LookUp {
  explicit LookUp(const asio::any_io_executor& executor)
      : resolver(executor), done(executor, Clock::time_point::max()) {}

  tcp::resolver resolver;
  asio::steady_timer done;
  error_code error = asio::error::operation_aborted;
  std::vector<tcp::endpoint> found;
};

asio::awaitable<base::Result<std::vector<tcp::endpoint>>> look_up(tls::Endpoint endpoint) {
  if (endpoint.is_address) {
    error_code invalid;
    const auto address = asio::ip::make_address(endpoint.host, invalid);
    if (invalid) {
      co_return base::fail(ErrorCode::kInvalidArgument, endpoint.host + " is no address");
    }
    co_return std::vector{tcp::endpoint(address, endpoint.port)};
  }
  const auto look = std::make_shared<LookUp>(co_await asio::this_coro::executor);
  look->resolver.async_resolve(endpoint.host, std::to_string(endpoint.port),
                               [look](error_code error, const tcp::resolver::results_type& found) {
                                 look->error = error;
                                 look->found.assign(found.begin(), found.end());
                                 look->done.cancel();
                               });
  co_await look->done.async_wait(as_values);
  if (look->error) {
    co_return base::fail(no_service(endpoint.authority(), look->error));
  }
  co_return look->found;
}

// A kept connection that says something, or ended, is of no use: nothing was asked there.
bool is_quiet(Line& line) {
  char byte = 0;
  const auto peeked =
      recv(line.stream->socket().native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  return peeked < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
}

}  // namespace

asio::awaitable<base::Result<Line>> Lines::take(Clock::time_point deadline) {
  if (!keeps()) {
    auto connected = co_await connect_unix();
    co_return connected;
  }
  if (auto kept = take_kept()) {
    co_return *std::move(kept);
  }
  std::string failures;
  bool may_pass = false;
  base::Error last{ErrorCode::kUnavailable, ""};
  for (std::size_t tried = 0; tried < endpoints_.size(); ++tried) {
    const auto index = (answered_last_ + tried) % endpoints_.size();
    const auto left = deadline - Clock::now();
    const auto part = left / static_cast<Clock::rep>(endpoints_.size() - tried);
    auto attempt = co_await within(Clock::now() + part, connect_tls(endpoints_[index]));
    if (attempt && *attempt) {
      answered_last_ = index;
      co_return *std::move(*attempt);
    }
    last = attempt
               ? std::move(*attempt).error()
               : base::Error{ErrorCode::kUnavailable,
                             "no service answers at " + endpoints_[index].authority() + " in time"};
    may_pass = may_pass || last.code == ErrorCode::kUnavailable;
    failures += (failures.empty() ? "" : "; ") + last.message;
  }
  co_return base::fail(may_pass ? ErrorCode::kUnavailable : last.code, std::move(failures));
}

void Lines::keep(Line line) {
  if (kept_.size() < kMostKept) {
    line.idle_since = Clock::now();
    kept_.push_back(std::move(line));
  }
}

// The one that was used last is the least likely to have ended.
std::optional<Line> Lines::take_kept() {
  while (!kept_.empty()) {
    Line line = std::move(kept_.back());
    kept_.pop_back();
    if (Clock::now() - line.idle_since < kLongestIdle && is_quiet(line)) {
      return line;
    }
  }
  return std::nullopt;
}

asio::awaitable<base::Result<Line>> Lines::connect_unix() {
  if (socket_path_.size() >= 108) {
    co_return base::fail(ErrorCode::kInvalidArgument, "socket path is too long: " + socket_path_);
  }
  Socket socket(co_await asio::this_coro::executor);
  const Socket::endpoint_type address{asio::local::stream_protocol::endpoint(socket_path_)};
  const auto [error] = co_await socket.async_connect(address, as_values);
  if (error == asio::error::access_denied) {
    co_return base::fail(ErrorCode::kDenied,
                         "this user may not connect to " + socket_path_ + ": " + error.message());
  }
  if (error) {
    auto failure = no_service(socket_path_, error);
    failure.message += "; start it, or name the socket where it listens";
    co_return base::fail(std::move(failure));
  }
  co_return Line{std::make_unique<tls::Stream>(std::move(socket)), {}, "localhost"};
}

asio::awaitable<base::Result<Line>> Lines::connect_tls(tls::Endpoint endpoint) {
  auto looked_up = co_await look_up(endpoint);
  CO_TRY_ASSIGN(addresses, std::move(looked_up));
  error_code failed = asio::error::host_not_found;
  for (const auto& address : addresses) {
    Socket socket(co_await asio::this_coro::executor);
    const auto [error] = co_await socket.async_connect(Socket::endpoint_type(address), as_values);
    failed = error;
    if (error) {
      continue;
    }
    error_code ignored;
    socket.set_option(tcp::no_delay(true), ignored);
    auto stream = std::make_unique<tls::Stream>(std::move(socket), context_);
    auto shaken = co_await stream->shake_hands_with(endpoint);
    CO_TRY(std::move(shaken));
    co_return Line{std::move(stream), {}, endpoint.authority()};
  }
  co_return base::fail(no_service(endpoint.authority(), failed));
}

}  // namespace transport::rpc
