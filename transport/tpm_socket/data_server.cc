// SPDX-License-Identifier: Apache-2.0
#include "transport/tpm_socket/data_server.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <string>
#include <system_error>
#include <utility>

#include "vmgs/base/layout.h"
#include "vmgs/base/log.h"
#include "vmgs/base/secret.h"

namespace transport::tpm_socket {

namespace {

// How long to wait after the system had no descriptor or memory for another client.
constexpr auto kAcceptPause = std::chrono::milliseconds(100);

// Of kMaxFrameBytes each: far more than a command was ever meant to have.
constexpr int kMaxPiecesOfRest = 64;

bool is_connected_stream(int socket) {
  int type = 0;
  socklen_t size = sizeof type;
  int listening = 0;
  socklen_t listening_size = sizeof listening;
  sockaddr_storage peer{};
  socklen_t peer_size = sizeof peer;
  return ::getsockopt(socket, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_STREAM &&
         ::getsockopt(socket, SOL_SOCKET, SO_ACCEPTCONN, &listening, &listening_size) == 0 &&
         listening == 0 &&
         ::getpeername(socket, reinterpret_cast<sockaddr*>(&peer), &peer_size) == 0;
}

bool has_hung_up(int socket) {
  pollfd look{socket, POLLRDHUP, 0};
  return ::poll(&look, 1, 0) > 0;
}

// drop_rest() reads away what more there is of a command whose end nobody knows.
void drop_rest(int socket) {
  auto rest = base::Secret<kMaxFrameBytes>::zero();
  for (int i = 0; i < kMaxPiecesOfRest; ++i) {
    if (::recv(socket, rest.fill().data(), rest.fill().size(), MSG_DONTWAIT) <= 0) {
      return;
    }
  }
}

ssize_t send_all(int socket, std::span<iovec> pieces) {
  msghdr message{};
  message.msg_iov = pieces.data();
  message.msg_iovlen = pieces.size();
  ssize_t sent = 0;
  do {
    sent = ::sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
  } while (sent < 0 && errno == EINTR);
  return sent;
}

}  // namespace

base::Result<std::unique_ptr<DataServer>> DataServer::start(CommandHandler& handler,
                                                            base::Descriptor listener,
                                                            DataLimits limits,
                                                            std::vector<Channel> channels) {
  base::Descriptor wake(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wake.is_open()) {
    return base::fail(base::ErrorCode::kIo, "eventfd: " + std::generic_category().message(errno));
  }
  auto server = std::unique_ptr<DataServer>(
      new DataServer(handler, std::move(listener), std::move(wake), limits));
  for (auto& channel : channels) {
    if (channel.road == DataRoad::kPassed) {
      server->passed_ = channel.socket.number();
    }
    server->connections_.push_back(
        {std::move(channel.socket), channel.road, std::move(channel.part)});
  }
  // Signals are for the program's other thread.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  server->thread_ = std::thread([serving = server.get()] { serving->serve(); });
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return server;
}

DataServer::DataServer(CommandHandler& handler, base::Descriptor listener, base::Descriptor wake,
                       DataLimits limits)
    : handler_(handler), listener_(std::move(listener)), wake_(std::move(wake)), limits_(limits) {}

DataServer::~DataServer() {
  {
    const std::lock_guard lock(orders_);
    stop_ = true;
    suspension_.notify_all();
  }
  wake();
  thread_.join();
}

void DataServer::suspend() {
  std::unique_lock lock(orders_);
  suspend_ = true;
  wake();
  suspension_.wait(lock, [this] { return is_suspended_; });
}

void DataServer::go_on() {
  const std::lock_guard lock(orders_);
  suspend_ = false;
  suspension_.notify_all();
}

base::Result<std::vector<DataServer::Channel>> DataServer::channels() {
  const std::lock_guard lock(orders_);
  std::vector<Channel> all;
  const auto add = [&](int socket, DataRoad road, base::ByteView part) {
    base::Descriptor copy(::fcntl(socket, F_DUPFD_CLOEXEC, 0));
    if (!copy.is_open()) {
      return false;
    }
    base::SecretBytes kept(part.size());
    std::copy(part.begin(), part.end(), kept.fill().begin());
    all.push_back({std::move(copy), road, std::move(kept)});
    return true;
  };
  bool complete = !adopted_.is_open() || add(adopted_.number(), DataRoad::kPassed, {});
  for (const auto& connection : connections_) {
    const bool gives_way = connection.road == DataRoad::kPassed && adopted_.is_open();
    if (connection.socket.is_open() && !gives_way) {
      complete =
          complete && add(connection.socket.number(), connection.road, connection.part.expose());
    }
  }
  if (!complete) {
    return base::fail(base::ErrorCode::kIo, "a data channel cannot be handed over: " +
                                                std::generic_category().message(errno));
  }
  return all;
}

void DataServer::wake() {
  // A counter that is full already wakes as well.
  [[maybe_unused]] const int ignored = ::eventfd_write(wake_.number(), 1);
}

base::Result<void> DataServer::adopt(base::Descriptor channel) {
  if (!is_connected_stream(channel.number())) {
    return base::fail(base::ErrorCode::kInvalidArgument,
                      "the descriptor is no connected stream socket");
  }
  {
    const std::lock_guard lock(orders_);
    const int current = adopted_.is_open() ? adopted_.number() : passed_;
    if (current >= 0 && !has_hung_up(current)) {
      return base::fail(base::ErrorCode::kIo, "there is a data channel already");
    }
    adopted_ = std::move(channel);
  }
  wake();
  return {};
}

bool DataServer::take_orders() {
  eventfd_t count = 0;
  [[maybe_unused]] const int ignored = ::eventfd_read(wake_.number(), &count);

  base::Descriptor adopted;
  {
    std::unique_lock lock(orders_);
    is_suspended_ = suspend_;
    suspension_.notify_all();
    suspension_.wait(lock, [this] { return !suspend_ || stop_; });
    is_suspended_ = false;
    if (stop_) {
      return false;
    }
    adopted = std::exchange(adopted_, base::Descriptor());
    if (!adopted.is_open()) {
      return true;
    }
    passed_ = adopted.number();
  }
  for (auto& connection : connections_) {
    if (connection.road == DataRoad::kPassed) {
      connection.socket = base::Descriptor();
    }
  }
  connections_.push_back({std::move(adopted), DataRoad::kPassed, {}});
  return true;
}

void DataServer::close(Connection& connection) {
  const std::lock_guard lock(orders_);
  if (passed_ == connection.socket.number()) {
    passed_ = -1;
  }
  connection.socket = base::Descriptor();
}

void DataServer::accept_client() {
  base::Descriptor client(::accept4(listener_.number(), nullptr, nullptr, SOCK_CLOEXEC));
  if (!client.is_open()) {
    base::log(base::LogLevel::kWarning,
              "no data client can be accepted: " + std::generic_category().message(errno));
    no_client_until_ = Clock::now() + kAcceptPause;
    return;
  }
  const auto is_client = [](const Connection& connection) {
    return connection.socket.is_open() && connection.road == DataRoad::kListener;
  };
  const auto clients =
      static_cast<std::size_t>(std::count_if(connections_.begin(), connections_.end(), is_client));
  if (clients >= limits_.connections) {
    Connection* silent = nullptr;
    for (auto& connection : connections_) {
      if (is_client(connection) &&
          (silent == nullptr || connection.last_heard < silent->last_heard)) {
        silent = &connection;
      }
    }
    close(*silent);
  }
  connections_.push_back({std::move(client), DataRoad::kListener, {}});
}

int DataServer::patience_milliseconds() const {
  auto next = no_client_until_.value_or(Clock::time_point::max());
  if (!rests_) {
    next = std::min(next, last_command_ + limits_.until_rest);
  }
  for (const auto& connection : connections_) {
    if (connection.part.size() > 0) {
      next = std::min(next, connection.last_heard + limits_.silence);
    }
  }
  if (next == Clock::time_point::max()) {
    return -1;
  }
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(next - Clock::now());
  return static_cast<int>(std::max(left, std::chrono::milliseconds(0)).count());
}

void DataServer::rest_if_due() {
  if (!rests_ && Clock::now() - last_command_ >= limits_.until_rest) {
    rests_ = true;
    handler_.rest();
  }
}

void DataServer::serve() {
  std::vector<pollfd> polled;
  for (;;) {
    if (no_client_until_ && *no_client_until_ <= Clock::now()) {
      no_client_until_.reset();
    }
    polled.clear();
    polled.push_back({wake_.number(), POLLIN, 0});
    polled.push_back({no_client_until_ ? -1 : listener_.number(), POLLIN, 0});  // -1: passed over
    for (const auto& connection : connections_) {
      polled.push_back({connection.socket.number(), POLLIN, 0});
    }
    if (::poll(polled.data(), polled.size(), patience_milliseconds()) < 0 && errno != EINTR) {
      base::log(base::LogLevel::kError,
                "the data channel ends: poll: " + std::generic_category().message(errno));
      const std::lock_guard lock(orders_);
      is_suspended_ = true;  // for good
      suspension_.notify_all();
      return;
    }
    for (std::size_t i = 0; i < connections_.size(); ++i) {
      auto& connection = connections_[i];
      const bool useful =
          polled[i + 2].revents != 0 ? read_from(connection) : run_overdue(connection);
      if (!useful) {
        close(connection);
        handler_.channel_closed();
      }
    }
    if (polled[1].revents != 0) {
      accept_client();
    }
    if (polled[0].revents != 0 && !take_orders()) {
      return;
    }
    std::erase_if(connections_,
                  [](const Connection& connection) { return !connection.socket.is_open(); });
    rest_if_due();
  }
}

bool DataServer::read_from(Connection& connection) {
  // Commands and responses may hold secrets, so no copy of them stays.
  auto buffer = base::Secret<kMaxFrameBytes>::zero();
  const ssize_t count =
      ::recv(connection.socket.number(), buffer.fill().data(), buffer.fill().size(), MSG_DONTWAIT);
  if (count < 0) {
    return errno == EINTR || errno == EAGAIN;
  }
  if (count == 0) {
    return false;
  }
  connection.last_heard = Clock::now();
  const auto received = std::span<std::byte>(buffer.fill()).first(static_cast<std::size_t>(count));
  if (connection.part.size() == 0) {
    return run_commands(connection, received);
  }
  const auto part = std::exchange(connection.part, {});
  base::SecretBytes bytes(part.size() + received.size());
  const auto behind = std::copy(part.expose().begin(), part.expose().end(), bytes.fill().begin());
  std::copy(received.begin(), received.end(), behind);
  return run_commands(connection, bytes.fill());
}

bool DataServer::run_commands(Connection& connection, std::span<std::byte> bytes) {
  while (!bytes.empty()) {
    const auto frame = frame_command(bytes);
    if (!frame) {
      connection.part = base::SecretBytes::taking(base::copy_of(bytes));
      return true;
    }
    const bool was_last = limits_.one_command && connection.road == DataRoad::kListener;
    if (!run_one(connection, bytes, *frame) || was_last) {
      return false;
    }
    bytes = bytes.subspan(frame->used);
  }
  return true;
}

bool DataServer::run_overdue(Connection& connection) {
  if (connection.part.size() == 0 || Clock::now() - connection.last_heard < limits_.silence) {
    return true;
  }
  auto bytes = std::exchange(connection.part, {});
  return run_one(connection, bytes.fill(), frame_rest(bytes.expose()));
}

bool DataServer::run_one(Connection& connection, std::span<std::byte> bytes,
                         const CommandFrame& frame) {
  auto response = base::SecretBytes::taking(handler_.run(
      bytes.subspan(frame.begin, frame.end - frame.begin), connection.road, frame.locality));
  last_command_ = Clock::now();
  rests_ = false;
  if (!frame.has_end) {
    // Before it has the response nobody sends the next command, so this is still that one.
    drop_rest(connection.socket.number());
  }
  // A client reads a response in one go, so it leaves in one write.
  base::U32Be size(static_cast<std::uint32_t>(response.size()));
  base::U32Be end(0);
  std::array<iovec, 3> wrapped = {iovec{&size, sizeof size},
                                  iovec{response.fill().data(), response.size()},
                                  iovec{&end, sizeof end}};
  const auto pieces = frame.locality ? std::span(wrapped) : std::span(wrapped).subspan(1, 1);
  const std::size_t whole = response.size() + (frame.locality ? sizeof size + sizeof end : 0);
  const bool sent = send_all(connection.socket.number(), pieces) == static_cast<ssize_t>(whole);
  // A hypervisor keeps its channel, whatever its guest may have written.
  return sent && (frame.has_end || connection.road == DataRoad::kPassed);
}

}  // namespace transport::tpm_socket
