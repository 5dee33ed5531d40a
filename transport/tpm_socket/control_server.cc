// SPDX-License-Identifier: Apache-2.0
#include "transport/tpm_socket/control_server.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <cerrno>
#include <list>
#include <optional>
#include <system_error>
#include <utility>

#include "transport/net/receive.h"
#include "transport/tpm_socket/control_session.h"
#include "vmgs/base/log.h"
#include "vmgs/base/secret.h"

namespace transport::tpm_socket {

namespace asio = boost::asio;
using asio::generic::stream_protocol;  // Unix sockets and TCP alike
using Clock = std::chrono::steady_clock;

namespace {

constexpr auto kAsValues = asio::as_tuple(asio::use_awaitable);

// What one look at a socket takes in. Only SET_STATEBLOB and HASH_DATA bring more.
constexpr std::size_t kPieceBytes = 16 * 1024;

// How long to wait after the system had no descriptor or memory for another client.
constexpr auto kAcceptPause = std::chrono::milliseconds(100);

struct Connected {
  Connected(stream_protocol::socket connected, ControlSession begun)
      : socket(std::move(connected)), deadline(socket.get_executor()), session(std::move(begun)) {}

  void close() {
    boost::system::error_code ignored;
    socket.close(ignored);
    deadline.cancel();
  }

  stream_protocol::socket socket;
  asio::steady_timer deadline;
  ControlSession session;
  Clock::time_point last_heard = Clock::now();
  bool is_answering = false;
};

}  // namespace

struct ControlServerState {
  ControlServerState(asio::io_context& io, ControlHandler& control_handler,
                     ControlLimits control_limits, ControlEvents control_events)
      : acceptor(io),
        pause(io),
        handler(control_handler),
        limits(control_limits),
        events(std::move(control_events)) {}

  asio::basic_socket_acceptor<stream_protocol> acceptor;
  asio::steady_timer pause;
  ControlHandler& handler;
  const ControlLimits limits;
  const ControlEvents events;
  std::list<std::shared_ptr<Connected>> clients;
};

namespace {

using Shared = std::shared_ptr<ControlServerState>;

// make_room() closes the client that was silent for longest, if there are too many.
void make_room(ControlServerState& state) {
  if (state.clients.size() < state.limits.connections) {
    return;
  }
  std::shared_ptr<Connected> silent;
  for (const auto& client : state.clients) {
    if (!client->session.owns_data_channel() &&
        (!silent || client->last_heard < silent->last_heard)) {
      silent = client;
    }
  }
  if (silent) {
    base::log(base::LogLevel::kDebug, "too many control clients: the most silent one was closed");
    silent->close();
    state.clients.remove(silent);
  }
}

// expect_progress() closes the client unless it is called again, or expect_nothing(), in time.
void expect_progress(const std::shared_ptr<Connected>& client, std::chrono::milliseconds silence) {
  if (client->session.owns_data_channel()) {
    return;
  }
  client->deadline.expires_after(silence);
  client->deadline.async_wait([client](boost::system::error_code error) {
    // A wait that was over before it could be cancelled finds a later deadline.
    if (!error && client->deadline.expiry() <= Clock::now()) {
      client->close();
    }
  });
}

void expect_nothing(Connected& client) { client.deadline.cancel(); }

// receive_piece() gives the session what is there. False once the client has gone.
bool receive_piece(Connected& client) {
  auto buffer = base::Secret<kPieceBytes>::zero();
  auto received = net::receive(client.socket.native_handle(), buffer.fill());
  if (!received) {
    return received.error().code == base::ErrorCode::kUnavailable;
  }
  if (received->bytes == 0) {
    return false;
  }
  client.session.take(base::ByteView(buffer.expose()).first(received->bytes),
                      std::move(received->descriptors));
  client.last_heard = Clock::now();
  return true;
}

// answer_all() answers every whole request that is there. False once the client has gone, or has
// asked for the end.
asio::awaitable<bool> answer_all(Shared state, std::shared_ptr<Connected> client) {
  bool was_hypervisor = client->session.owns_data_channel();
  while (const auto answer = client->session.next_answer()) {
    if (client->session.owns_data_channel() && !std::exchange(was_hypervisor, true)) {
      state->events.hypervisor(true);
    }
    expect_progress(client, state->limits.silence);
    const auto bytes = answer->expose();
    client->is_answering = true;
    const auto [error, written] = co_await asio::async_write(
        client->socket, asio::buffer(bytes.data(), bytes.size()), kAsValues);
    client->is_answering = false;
    expect_nothing(*client);
    if (client->session.shut_down()) {
      state->events.shut_down();
    }
    if (error || client->session.shut_down()) {
      co_return false;
    }
  }
  co_return true;
}

asio::awaitable<void> serve(Shared state, std::shared_ptr<Connected> client) {
  for (;;) {
    const auto [error] =
        co_await client->socket.async_wait(asio::socket_base::wait_read, kAsValues);
    if (error || !receive_piece(*client)) {
      break;
    }
    const bool goes_on = co_await answer_all(state, client);
    if (!goes_on) {
      break;
    }
    if (client->session.waits_for_rest()) {
      expect_progress(client, state->limits.silence);
    } else {
      expect_nothing(*client);
    }
  }
  client->close();
  state->clients.remove(client);
  if (client->session.owns_data_channel()) {
    state->events.hypervisor(false);
  }
  state->events.client_gone();
}

stream_protocol protocol_of(const base::Descriptor& socket) {
  int family = AF_UNIX;
  socklen_t size = sizeof family;
  ::getsockopt(socket.number(), SOL_SOCKET, SO_DOMAIN, &family, &size);
  return stream_protocol(family, 0);
}

void begin_to_serve(const Shared& state, stream_protocol::socket socket, ControlSession session) {
  auto client = std::make_shared<Connected>(std::move(socket), std::move(session));
  state->clients.push_back(client);
  asio::co_spawn(state->acceptor.get_executor(), serve(state, std::move(client)), asio::detached);
}

asio::awaitable<void> accept_clients(Shared state) {
  while (state->acceptor.is_open()) {
    auto [error, socket] = co_await state->acceptor.async_accept(kAsValues);
    if (error == asio::error::operation_aborted) {
      co_return;
    }
    if (error) {
      base::log(base::LogLevel::kWarning, "no control client can be accepted: " + error.message());
      state->pause.expires_after(kAcceptPause);
      co_await state->pause.async_wait(kAsValues);
      continue;
    }
    make_room(*state);
    begin_to_serve(state, std::move(socket), ControlSession(state->handler));
  }
}

}  // namespace

ControlServer::ControlServer(asio::io_context& io, base::Descriptor listener,
                             ControlHandler& handler, ControlLimits limits, ControlEvents events)
    : state_(std::make_shared<ControlServerState>(io, handler, limits, std::move(events))) {
  if (listener.is_open()) {
    accept_at(std::move(listener));
  }
}

void ControlServer::accept_at(base::Descriptor listener) {
  const auto protocol = protocol_of(listener);
  state_->acceptor.assign(protocol, listener.release());
  asio::co_spawn(state_->acceptor.get_executor(), accept_clients(state_), asio::detached);
}

void ControlServer::stop_accepting() {
  boost::system::error_code ignored;
  state_->acceptor.close(ignored);
  state_->pause.cancel();
}

base::Result<std::vector<ControlServer::Client>> ControlServer::clients() const {
  std::vector<Client> all;
  for (const auto& connected : state_->clients) {
    auto session = connected->session.at_rest();
    if (!session || connected->is_answering) {
      return base::fail(base::ErrorCode::kUnavailable,
                        "a control client is in the middle of a request");
    }
    base::Descriptor copy(::fcntl(connected->socket.native_handle(), F_DUPFD_CLOEXEC, 0));
    if (!copy.is_open()) {
      return base::fail(base::ErrorCode::kIo, "a control connection cannot be handed over: " +
                                                  std::generic_category().message(errno));
    }
    all.push_back({std::move(copy), *std::move(session)});
  }
  return all;
}

void ControlServer::serve(base::Descriptor connected) {
  const auto protocol = protocol_of(connected);
  stream_protocol::socket socket(state_->acceptor.get_executor(), protocol, connected.release());
  begin_to_serve(state_, std::move(socket), ControlSession(state_->handler));
}

void ControlServer::serve(Client client) {
  const bool is_hypervisor = client.session.owns_data_channel;
  const auto protocol = protocol_of(client.socket);
  stream_protocol::socket socket(state_->acceptor.get_executor(), protocol,
                                 client.socket.release());
  begin_to_serve(state_, std::move(socket),
                 ControlSession(state_->handler, std::move(client.session)));
  if (is_hypervisor) {
    state_->events.hypervisor(true);
  }
}

ControlServer::~ControlServer() {
  stop_accepting();
  for (const auto& client : state_->clients) {
    client->close();
  }
}

}  // namespace transport::tpm_socket
