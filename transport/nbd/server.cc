// SPDX-License-Identifier: Apache-2.0
#include "transport/nbd/server.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <string>
#include <system_error>
#include <utility>

#include "transport/net/receive.h"
#include "vmgs/base/idle_memory.h"
#include "vmgs/base/log.h"

namespace transport::nbd {

namespace asio = boost::asio;

namespace {

// What one look at a socket takes in.
constexpr std::size_t kPieceBytes = 16 * 1024;

// How long to wait after the system had no descriptor or memory for another client.
constexpr auto kAcceptPause = std::chrono::milliseconds(100);

bool has_hung_up(int socket) {
  pollfd look{socket, POLLRDHUP, 0};
  return ::poll(&look, 1, 0) > 0;
}

}  // namespace

base::Result<std::unique_ptr<Server>> Server::start(asio::io_context& io, base::Descriptor listener,
                                                    BlockExport& block_export,
                                                    net::PeerPolicy policy, ServerLimits limits,
                                                    ClientEvent client) {
  base::Descriptor wake(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  base::Descriptor watched(::fcntl(listener.number(), F_DUPFD_CLOEXEC, 0));
  if (!wake.is_open() || !watched.is_open()) {
    return base::fail(base::ErrorCode::kIo, "no descriptor for the export of variables: " +
                                                std::generic_category().message(errno));
  }
  std::unique_ptr<Server> server(new Server(io, std::move(listener), std::move(wake), block_export,
                                            policy, limits, std::move(client)));
  server->first_client_.assign(watched.release());
  server->begin_with_first_client();
  return server;
}

Server::Server(asio::io_context& io, base::Descriptor listener, base::Descriptor wake,
               BlockExport& block_export, net::PeerPolicy policy, ServerLimits limits,
               ClientEvent client)
    : listener_(std::move(listener)),
      wake_(std::move(wake)),
      export_(block_export),
      policy_(policy),
      limits_(limits),
      client_event_(std::move(client)),
      first_client_(io) {}

Server::~Server() {
  boost::system::error_code ignored;
  first_client_.close(ignored);
  pause();
  lose_client();
}

void Server::begin_with_first_client() {
  first_client_.async_wait(asio::posix::descriptor_base::wait_read,
                           [this](boost::system::error_code error) {
                             // What came while it was paused waits for go_on().
                             if (!error && !paused_ && !thread_.joinable()) {
                               begin();
                             }
                           });
}

void Server::begin() {
  boost::system::error_code ignored;
  first_client_.close(ignored);
  // Signals are for the program's other thread.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::thread([this] { serve(); });
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

base::Result<void> Server::adopt(AtRest client) {
  pause();
  TRY(export_.begin());
  client_ = std::make_unique<Client>(std::move(client), export_);
  client_event_(true);
  return {};
}

void Server::pause() {
  paused_ = true;
  if (thread_.joinable()) {
    [[maybe_unused]] const int unneeded = ::eventfd_write(wake_.number(), 1);
    thread_.join();
    eventfd_t written = 0;
    [[maybe_unused]] const int read = ::eventfd_read(wake_.number(), &written);
  } else if (first_client_.is_open()) {
    boost::system::error_code ignored;
    first_client_.cancel(ignored);
  }
}

void Server::go_on() {
  if (!std::exchange(paused_, false)) {
    return;
  }
  // One that has had a client has a thread.
  if (first_client_.is_open() && !client_) {
    begin_with_first_client();
  } else {
    begin();
  }
}

base::Result<std::optional<Server::AtRest>> Server::client() const {
  if (!client_) {
    return std::optional<AtRest>();
  }
  TRY_ASSIGN(unused, client_->session.at_rest());
  AtRest rest{.socket = base::Descriptor(::fcntl(client_->socket.number(), F_DUPFD_CLOEXEC, 0)),
              .unused = std::move(unused),
              .unsent = base::SecretBytes(client_->answer.size() - client_->sent)};
  if (!rest.socket.is_open()) {
    return base::fail(base::ErrorCode::kIo, "no descriptor for the client of UEFI variables: " +
                                                std::generic_category().message(errno));
  }
  const auto unsent = client_->answer.expose().subspan(client_->sent);
  std::copy(unsent.begin(), unsent.end(), rest.unsent.fill().begin());
  return std::optional<AtRest>(std::move(rest));
}

void Server::serve() {
  // What an adopted client had sent may be whole by now.
  if (client_ && !client_->is_sending() && !answer(*client_)) {
    lose_client();
  }
  for (;;) {
    const auto now = Clock::now();
    const auto due = export_.tend(now);
    if (client_ && client_->session.is_negotiating() && client_->chosen_by <= now) {
      base::log(base::LogLevel::kWarning, "a client of the UEFI variables chose no export in time");
      lose_client();
      continue;
    }
    if (no_client_until_ && *no_client_until_ <= now) {
      no_client_until_.reset();
    }
    const auto wanted = static_cast<short>(client_ && client_->is_sending() ? POLLOUT : POLLIN);
    std::array<pollfd, 3> polled = {{
        {wake_.number(), POLLIN, 0},
        {no_client_until_ ? -1 : listener_.number(), POLLIN, 0},  // -1: passed over
        {client_ ? client_->socket.number() : -1, wanted, 0},
    }};
    if (::poll(polled.data(), polled.size(), patience_milliseconds(due)) < 0 && errno != EINTR) {
      base::log(base::LogLevel::kError, "the export of UEFI variables ends: poll: " +
                                            std::generic_category().message(errno));
      lose_client();
      return;
    }
    if (polled[0].revents != 0) {
      return;
    }
    if (polled[2].revents != 0) {
      serve_client(*client_);
    }
    if (polled[1].revents != 0) {
      accept_client();
    }
  }
}

int Server::patience_milliseconds(std::optional<Clock::time_point> due) const {
  auto next = std::min(due.value_or(Clock::time_point::max()),
                       no_client_until_.value_or(Clock::time_point::max()));
  if (client_ && client_->session.is_negotiating()) {
    next = std::min(next, client_->chosen_by);
  }
  if (next == Clock::time_point::max()) {
    return -1;
  }
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(next - Clock::now());
  return static_cast<int>(std::max(left, std::chrono::milliseconds(0)).count());
}

void Server::accept_client() {
  // One that is gone makes room, as soon as what it still sent has been read.
  if (client_ && has_hung_up(client_->socket.number())) {
    if (!client_->is_sending()) {
      return;
    }
    lose_client();  // it reads no answer, so that nothing more of it is ever read
  }
  base::Descriptor socket(
      ::accept4(listener_.number(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!socket.is_open()) {
    base::log(base::LogLevel::kWarning, "no client of the UEFI variables can be accepted: " +
                                            std::generic_category().message(errno));
    no_client_until_ = Clock::now() + kAcceptPause;
    return;
  }
  const auto peer = net::peer_of(socket.number());
  const auto refuse = [&](const std::string& why) {
    base::log(base::LogLevel::kWarning, "a client of the UEFI variables (" +
                                            (peer ? net::describe(*peer) : peer.error().message) +
                                            ") was sent away: " + why);
  };
  if (!peer || !policy_.admits(*peer)) {
    return refuse("it is neither root nor of the user or group that may connect");
  }
  if (client_) {
    return refuse("there is one, and two would write into each other's variables");
  }
  if (const auto begun = export_.begin(); !begun) {
    return refuse(begun.error().message);
  }
  client_ = std::make_unique<Client>(std::move(socket), export_, Clock::now() + limits_.handshake);
  client_event_(true);
  client_->answer = base::SecretBytes::taking(greeting());
  if (!send(*client_)) {
    lose_client();
  }
}

void Server::lose_client() {
  if (!client_) {
    return;
  }
  client_.reset();
  export_.end();
  client_event_(false);
  base::give_back_stack();
}

void Server::serve_client(Client& client) {
  const bool useful = client.is_sending() ? send(client) : receive(client);
  if (!useful || !answer(client)) {
    lose_client();
  }
}

bool Server::receive(Client& client) {
  auto buffer = base::Secret<kPieceBytes>::zero();
  const auto received = net::receive(client.socket.number(), buffer.fill());
  if (!received) {
    return received.error().code == base::ErrorCode::kUnavailable;
  }
  client.session.take(base::ByteView(buffer.expose()).first(received->bytes));
  return received->bytes > 0;
}

// Answers what is there, as far as the client takes the answers.
bool Server::answer(Client& client) {
  while (!client.is_sending()) {
    auto next = client.session.next_answer();
    if (!next) {
      base::log(base::LogLevel::kWarning,
                "the client of the UEFI variables was hung up on: " + next.error().message);
      return false;
    }
    if (!*next) {
      return !client.session.is_over();
    }
    client.answer = **std::move(next);
    client.sent = 0;
    if (!send(client)) {
      return false;
    }
  }
  return true;
}

bool Server::send(Client& client) {
  while (client.is_sending()) {
    const auto left = client.answer.expose().subspan(client.sent);
    const ssize_t count =
        ::send(client.socket.number(), left.data(), left.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (count < 0) {
      return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
    }
    client.sent += static_cast<std::size_t>(count);
  }
  return true;
}

}  // namespace transport::nbd
