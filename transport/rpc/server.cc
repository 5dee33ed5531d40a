// SPDX-License-Identifier: Apache-2.0
#include "transport/rpc/server.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <cstring>
#include <exception>
#include <list>
#include <sstream>

#include "transport/rpc/connection.h"
#include "transport/rpc/within.h"
#include "vmgs/base/log.h"

namespace transport::rpc {

namespace {

using Socket = tls::Stream::Socket;
using Clock = std::chrono::steady_clock;

// How long to wait after accept() failed for want of something (descriptors, memory).
constexpr std::chrono::milliseconds kAcceptPause{100};

// How often to look for an idle connection while somebody waits for its place.
constexpr std::chrono::milliseconds kRoomPause{50};

// How long a cancelled call has to notice.
constexpr std::chrono::seconds kCancelLimit{5};

// Where a caller comes from, as a URL writes it.
std::string address_of(const Socket& socket) {
  boost::system::error_code unknown;
  const auto remote = socket.remote_endpoint(unknown);
  asio::ip::tcp::endpoint address;
  if (unknown || remote.size() > address.capacity()) {
    return "an unknown address";
  }
  std::memcpy(address.data(), remote.data(), remote.size());
  address.resize(remote.size());
  std::ostringstream text;
  text << address;
  return text.str();
}

// A caller as it is known before it has said anything. It comes by a Unix socket only where there
// is a policy for those.
struct Arrival {
  Peer peer;
  bool admitted = true;
};

base::Result<Arrival> arrival_of(Socket& socket, const Door& door) {
  const auto* policy = std::get_if<PeerPolicy>(&door);
  if (policy == nullptr) {
    // Answers are whole when they are written; waiting for more would only delay them.
    boost::system::error_code ignored;
    socket.set_option(asio::ip::tcp::no_delay(true), ignored);
    return Arrival{Stranger{address_of(socket)}, true};
  }
  TRY_ASSIGN(peer, peer_of(socket.native_handle()));
  const bool admitted = policy->admits(peer);
  return Arrival{std::move(peer), admitted};
}

}  // namespace

struct Server::State {
  State(Acceptor listening, Door who, Served what, ServerOptions limits)
      : acceptor(std::move(listening)),
        door(std::move(who)),
        served(what),
        options(limits),
        connection_ended(acceptor.get_executor(), Clock::time_point::max()) {}

  // The coroutines own the state by value, for they outlive the server.
  static asio::awaitable<void> accept_all(std::shared_ptr<State> state);
  static asio::awaitable<void> make_room(std::shared_ptr<State> state);
  static void welcome(const std::shared_ptr<State>& state, Socket socket);

  [[nodiscard]] bool is_full() const { return connections.size() >= options.max_connections; }

  [[nodiscard]] bool has_too_many(const Peer& peer) const {
    const auto* from = std::get_if<Stranger>(&peer);
    if (from == nullptr || options.max_connections_of_one == 0) {
      return false;
    }
    const auto network = network_of(from->address);
    const auto others = std::count_if(connections.begin(), connections.end(),
                                      [&](const auto& each) { return each->network() == network; });
    return static_cast<std::size_t>(others) >= options.max_connections_of_one;
  }

  Acceptor acceptor;
  Door door;
  Served served;
  ServerOptions options;
  std::list<std::shared_ptr<Connection>> connections;
  // Never expires of itself: whoever waits for a connection to end is woken by its cancelling.
  asio::steady_timer connection_ended;
  std::uint64_t refused_callers = 0;
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
    if (each->is_idle() && (!silent || each->idle_since() < silent->idle_since())) {
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
  auto arrival = arrival_of(socket, state->door);
  if (!arrival) {
    base::log(base::LogLevel::kWarning, arrival.error().message);
    return;
  }
  if (state->has_too_many(arrival->peer)) {
    ++state->refused_callers;
    base::log(base::LogLevel::kDebug,
              "refused " + describe(arrival->peer) + ": too many connections from there");
    return;
  }
  if (!arrival->admitted) {
    ++state->refused_callers;
    base::log(base::LogLevel::kWarning,
              "refused a caller: " + describe(arrival->peer) +
                  " is not root, not this service's user and not in its group");
  }
  const auto* context = std::get_if<tls::Context>(&state->door);
  auto connection = std::make_shared<Connection>(
      std::move(socket), context == nullptr ? nullptr : *context, std::move(arrival->peer),
      arrival->admitted, state->served, state->options);
  const auto place = state->connections.insert(state->connections.end(), connection);
  // The completion holds the state, and with it the table and the limits, to the end.
  asio::co_spawn(state->acceptor.get_executor(), connection->serve(),
                 asio::bind_cancellation_slot(
                     connection->slot(), [state, connection, place](const std::exception_ptr& bug) {
                       state->refused_callers += connection->was_refused() ? 1 : 0;
                       state->connections.erase(place);
                       state->connection_ended.cancel();
                       if (bug) {
                         std::rethrow_exception(bug);
                       }
                     }));
}

base::Result<Server::Acceptor> Server::acceptor_of(const asio::any_io_executor& executor,
                                                   base::Descriptor socket) {
  sockaddr_storage bound{};
  socklen_t bytes = sizeof(bound);
  boost::system::error_code failed;
  Acceptor acceptor(executor);
  if (getsockname(socket.number(), reinterpret_cast<sockaddr*>(&bound), &bytes) != 0 ||
      acceptor.assign({bound.ss_family, 0}, socket.number(), failed)) {
    return base::fail(base::ErrorCode::kInvalidArgument,
                      "cannot accept calls at what is no socket");
  }
  static_cast<void>(socket.release());
  return acceptor;
}

Server::Server(Acceptor acceptor, Door door, Served served, ServerOptions options)
    : state_(std::make_shared<State>(std::move(acceptor), std::move(door), served, options)) {}

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

void Server::renew(tls::Context context) {
  for (const auto& connection : state_->connections) {
    if (!connection->may_stay(*context)) {
      base::log(base::LogLevel::kInfo,
                "closed: " + describe(connection->peer()) + ", who may not come in any more");
      connection->finish();
    }
  }
  state_->door = std::move(context);
}

std::size_t Server::connections() const { return state_->connections.size(); }

std::uint64_t Server::refused_callers() const { return state_->refused_callers; }

}  // namespace transport::rpc
