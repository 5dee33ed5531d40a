// SPDX-License-Identifier: Apache-2.0
#include "transport/tpm_socket/simulator_server.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <string>
#include <system_error>
#include <utility>

#include "transport/net/receive.h"
#include "vmgs/base/log.h"

namespace transport::tpm_socket {

namespace {

// What one look at a socket takes in.
constexpr std::size_t kPieceBytes = 16 * 1024;

// How long to wait after the system had no descriptor or memory for another client.
constexpr auto kAcceptPause = std::chrono::milliseconds(100);

bool send_all(int socket, base::ByteView answer) {
  ssize_t sent = 0;
  do {
    sent = ::send(socket, answer.data(), answer.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  } while (sent < 0 && errno == EINTR);
  return sent == static_cast<ssize_t>(answer.size());
}

}  // namespace

base::Result<std::unique_ptr<SimulatorServer>> SimulatorServer::start(SimulatorHandler& handler,
                                                                      base::Descriptor commands,
                                                                      base::Descriptor platform,
                                                                      SimulatorLimits limits) {
  std::unique_ptr<SimulatorServer> server(new SimulatorServer(handler, limits));
  for (const auto port : {SimulatorPort::kCommands, SimulatorPort::kPlatform}) {
    auto begun = std::make_unique<Port>();
    begun->port = port;
    begun->listener = std::move(port == SimulatorPort::kCommands ? commands : platform);
    begun->wake = base::Descriptor(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!begun->wake.is_open()) {
      return base::fail(base::ErrorCode::kIo, "eventfd: " + std::generic_category().message(errno));
    }
    server->ports_.push_back(std::move(begun));
  }
  // Signals are for the program's other thread.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  for (const auto& port : server->ports_) {
    port->thread = std::thread([serving = server.get(), &port = *port] { serving->serve(port); });
  }
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return server;
}

SimulatorServer::~SimulatorServer() {
  for (const auto& port : ports_) {
    [[maybe_unused]] const int unneeded = ::eventfd_write(port->wake.number(), 1);
    if (port->thread.joinable()) {
      port->thread.join();
    }
  }
}

void SimulatorServer::serve(Port& port) {
  std::vector<pollfd> polled;
  for (;;) {
    if (port.no_client_until && *port.no_client_until <= Clock::now()) {
      port.no_client_until.reset();
    }
    polled.clear();
    polled.push_back({port.wake.number(), POLLIN, 0});
    polled.push_back({port.no_client_until ? -1 : port.listener.number(), POLLIN, 0});
    for (const auto& client : port.clients) {
      polled.push_back({client->socket.number(), POLLIN, 0});
    }
    if (::poll(polled.data(), polled.size(), patience_milliseconds(port)) < 0 && errno != EINTR) {
      base::log(base::LogLevel::kError,
                "the simulator protocol ends: poll: " + std::generic_category().message(errno));
      break;
    }
    if (polled[0].revents != 0) {
      break;
    }
    for (std::size_t i = 0; i < port.clients.size(); ++i) {
      auto& client = port.clients[i];
      const bool useful =
          polled[i + 2].revents != 0 ? serve_client(*client) : is_patient_with(*client);
      if (!useful) {
        client.reset();
      }
    }
    std::erase(port.clients, nullptr);
    if (polled[1].revents != 0) {
      accept_client(port);
    }
  }
  port.clients.clear();
}

int SimulatorServer::patience_milliseconds(const Port& port) const {
  auto next = port.no_client_until.value_or(Clock::time_point::max());
  for (const auto& client : port.clients) {
    if (client->session.waits_for_rest()) {
      next = std::min(next, client->last_heard + limits_.silence);
    }
  }
  if (next == Clock::time_point::max()) {
    return -1;
  }
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(next - Clock::now());
  return static_cast<int>(std::max(left, std::chrono::milliseconds(0)).count());
}

bool SimulatorServer::is_patient_with(const Client& client) const {
  return !client.session.waits_for_rest() || Clock::now() - client.last_heard < limits_.silence;
}

void SimulatorServer::accept_client(Port& port) {
  base::Descriptor socket(::accept4(port.listener.number(), nullptr, nullptr, SOCK_CLOEXEC));
  if (!socket.is_open()) {
    base::log(base::LogLevel::kWarning, "no client of the simulator protocol can be accepted: " +
                                            std::generic_category().message(errno));
    port.no_client_until = Clock::now() + kAcceptPause;
    return;
  }
  if (port.clients.size() >= limits_.connections) {
    port.clients.erase(std::min_element(
        port.clients.begin(), port.clients.end(),
        [](const auto& a, const auto& b) { return a->last_heard < b->last_heard; }));
  }
  port.clients.push_back(std::make_unique<Client>(std::move(socket), port.port, handler_, sizes_));
}

bool SimulatorServer::serve_client(Client& client) {
  auto buffer = base::Secret<kPieceBytes>::zero();
  const auto received = net::receive(client.socket.number(), buffer.fill());
  if (!received) {
    return received.error().code == base::ErrorCode::kUnavailable;
  }
  if (received->bytes == 0) {
    return false;
  }
  client.last_heard = Clock::now();
  client.session.take(base::ByteView(buffer.expose()).first(received->bytes));
  for (;;) {
    const auto answer = client.session.next_answer();
    if (!answer) {
      base::log(base::LogLevel::kWarning,
                "a client of the simulator protocol was hung up on: " + answer.error().message);
      return false;
    }
    if (!*answer) {
      return !client.session.is_over();
    }
    if (!send_all(client.socket.number(), (*answer)->expose())) {
      return false;
    }
  }
}

}  // namespace transport::tpm_socket
