// SPDX-License-Identifier: Apache-2.0
#include "transport/rpc/server.h"

#include <fcntl.h>

#include <algorithm>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <exception>
#include <list>

#include "transport/rpc/connection.h"
#include "transport/rpc/within.h"
#include "vmgs/base/log.h"

namespace transport::rpc {

namespace {

using Socket = asio::local::stream_protocol::socket;
using Clock = std::chrono::steady_clock;

// How long to wait after accept() failed for want of something (descriptors, memory).
constexpr std::chrono::milliseconds kAcceptPause{100};

// How often to look for an idle connection while somebody waits for its place.
constexpr std::chrono::milliseconds kRoomPause{50};

// How long a cancelled call has to notice.
constexpr std::chrono::seconds kCancelLimit{5};

}  // namespace

struct Server::State {
  State(Acceptor listening, PeerPolicy who, const Methods& table, ServerOptions limits)
      : acceptor(std::move(listening)),
        policy(who),
        methods(table),
        options(limits),
        connection_ended(acceptor.get_executor(), Clock::time_point::max()) {}

  // The coroutines own the state by value, for they outlive the server.
  static asio::awaitable<void> accept_all(std::shared_ptr<State> state);
  static asio::awaitable<void> make_room(std::shared_ptr<State> state);
  static void welcome(const std::shared_ptr<State>& state, Socket socket);

  [[nodiscard]] bool is_full() const { return connections.size() >= options.max_connections; }

  Acceptor acceptor;
  PeerPolicy policy;
  const Methods& methods;
  ServerOptions options;
  std::list<std::shared_ptr<Connection>> connections;
  // Never expires of itself: whoever waits for a connection to end is woken by its cancelling.
  asio::steady_timer connection_ended;
  bool stopping = false;
};

asio::awaitable<void> Server::State::accept_all(std::shared_ptr<State> state) {
  asio::steady_timer pause(state->acceptor.get_executor());
  while (!state->stopping) {
    if (state->is_full()) {
      co_await make_room(state);
      continue;
    }
    auto [error, socket] = co_await state->acceptor.async_accept(as_values);
    if (!error) {
      welcome(state, std::move(socket));
    } else if (!state->stopping) {
      base::log(base::LogLevel::kWarning, "cannot accept a call: " + error.message());
      pause.expires_after(kAcceptPause);
      co_await pause.async_wait(as_values);
    }
  }
}

// make_room() waits until a connection has ended. One that is idle is made to end as soon as
// somebody waits for its place.
asio::awaitable<void> Server::State::make_room(std::shared_ptr<State> state) {
  using namespace asio::experimental::awaitable_operators;
  co_await (state->acceptor.async_wait(Acceptor::wait_read, as_values) ||
            state->connection_ended.async_wait(as_values));
  if (state->stopping || !state->is_full()) {
    co_return;
  }
  const auto& all = state->connections;
  const bool one_ends =
      std::any_of(all.begin(), all.end(), [](const auto& each) { return each->is_finishing(); });
  std::shared_ptr<Connection> silent;
  for (const auto& each : all) {
    if (each->phase() == Connection::Phase::kIdle &&
        (!silent || each->idle_since() < silent->idle_since())) {
      silent = each;
    }
  }
  if (silent && !one_ends) {
    base::log(base::LogLevel::kDebug, "too many callers: the most silent one was closed");
    silent->finish();
  }
  // One that is in a call now may be idle soon.
  asio::steady_timer pause(state->acceptor.get_executor(), kRoomPause);
  co_await (state->connection_ended.async_wait(as_values) || pause.async_wait(as_values));
}

void Server::State::welcome(const std::shared_ptr<State>& state, Socket socket) {
  // Asio accepts without SOCK_CLOEXEC; no program that is started may inherit a caller.
  fcntl(socket.native_handle(), F_SETFD, FD_CLOEXEC);
  auto peer = peer_of(socket.native_handle());
  if (!peer) {
    base::log(base::LogLevel::kWarning, peer.error().message);
    return;
  }
  const bool admitted = state->policy.admits(*peer);
  if (!admitted) {
    base::log(base::LogLevel::kWarning,
              "refused a caller: user " + std::to_string(peer->uid) + ", process " +
                  std::to_string(peer->pid) +
                  " is not root, not this service's user and not in its group");
  }
  auto connection = std::make_shared<Connection>(std::move(socket), *std::move(peer), admitted,
                                                 state->methods, state->options);
  const auto place = state->connections.insert(state->connections.end(), connection);
  // The completion holds the state, and with it the table and the limits, to the end.
  asio::co_spawn(state->acceptor.get_executor(), connection->serve(),
                 asio::bind_cancellation_slot(
                     connection->slot(), [state, connection, place](const std::exception_ptr& bug) {
                       state->connections.erase(place);
                       state->connection_ended.cancel();
                       if (bug) {
                         std::rethrow_exception(bug);
                       }
                     }));
}

Server::Server(Acceptor acceptor, PeerPolicy policy, const Methods& methods, ServerOptions options)
    : state_(std::make_shared<State>(std::move(acceptor), policy, methods, options)) {}

Server::~Server() {
  state_->stopping = true;
  boost::system::error_code ignored;
  state_->acceptor.close(ignored);
  for (const auto& connection : state_->connections) {
    connection->finish();
    connection->cancel();
  }
}

void Server::start() {
  asio::co_spawn(state_->acceptor.get_executor(), State::accept_all(state_), asio::detached);
}

asio::awaitable<void> Server::stop(std::chrono::milliseconds grace) {
  const auto state = state_;
  state->stopping = true;
  boost::system::error_code ignored;
  state->acceptor.close(ignored);
  state->connection_ended.cancel();
  for (const auto& connection : state->connections) {
    connection->finish();
  }
  auto deadline = Clock::now() + grace;
  bool cancelled = false;
  while (!state->connections.empty()) {
    state->connection_ended.expires_at(deadline);
    const auto [woken] = co_await state->connection_ended.async_wait(as_values);
    if (woken) {
      continue;
    }
    // The grace is over: once for the calls, then once for those that do not take their answer.
    if (cancelled) {
      break;
    }
    cancelled = true;
    deadline = Clock::now() + kCancelLimit;
    for (const auto& connection : state->connections) {
      connection->cancel();
    }
  }
}

std::size_t Server::connections() const { return state_->connections.size(); }

}  // namespace transport::rpc
