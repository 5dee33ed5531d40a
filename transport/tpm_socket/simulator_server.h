// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "transport/tpm_socket/simulator_handler.h"
#include "transport/tpm_socket/simulator_session.h"
#include "vmgs/base/descriptor.h"
#include "vmgs/base/result.h"
#include "vmgs/base/secret.h"

namespace transport::tpm_socket {

struct SimulatorLimits {
  // Clients of each port at once; one more takes the place of the most silent one.
  std::size_t connections = 32;
  // How long a client may take between two pieces of a request. Then it is hung up on.
  std::chrono::milliseconds silence = std::chrono::seconds(2);
};

// SimulatorServer serves the two ports of the simulator protocol, each on a thread of its own. More
// than one client may be there at once, as tools keep both their connections for as long as they
// run; a client that does not read its answers is hung up on.
class SimulatorServer {
 public:
  // start() serves connections to two stream sockets that listen, of any family. kIo if the system
  // has no descriptor for it. `handler` must outlive the server.
  static base::Result<std::unique_ptr<SimulatorServer>> start(SimulatorHandler& handler,
                                                              base::Descriptor commands,
                                                              base::Descriptor platform,
                                                              SimulatorLimits limits);

  SimulatorServer(const SimulatorServer&) = delete;
  SimulatorServer& operator=(const SimulatorServer&) = delete;

  // Ends after the requests that are being carried out, and closes every connection.
  ~SimulatorServer();

 private:
  using Clock = std::chrono::steady_clock;

  struct Client {
    Client(base::Descriptor connected, SimulatorPort port, SimulatorHandler& handler,
           SimulatorSizes& sizes)
        : socket(std::move(connected)), session(port, handler, sizes) {}

    base::Descriptor socket;
    SimulatorSession session;
    Clock::time_point last_heard = Clock::now();
  };

  // A port: its listener, its clients and its thread, which alone touches both.
  struct Port {
    SimulatorPort port;
    base::Descriptor listener;
    base::Descriptor wake;  // written to when it is time to stop
    std::vector<std::unique_ptr<Client>> clients;
    std::optional<Clock::time_point> no_client_until;  // the system had no room for one
    std::thread thread;
  };

  SimulatorServer(SimulatorHandler& handler, SimulatorLimits limits)
      : handler_(handler), limits_(limits) {}

  void serve(Port& port);
  void accept_client(Port& port);

  // How long poll() may wait.
  [[nodiscard]] int patience_milliseconds(const Port& port) const;

  // These give false once the client is of no use any more.
  static bool serve_client(Client& client);
  [[nodiscard]] bool is_patient_with(const Client& client) const;

  SimulatorHandler& handler_;
  const SimulatorLimits limits_;
  SimulatorSizes sizes_;
  std::vector<std::unique_ptr<Port>> ports_;
};

}  // namespace transport::tpm_socket
