// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <vector>

#include "transport/tpm_socket/control_handler.h"
#include "transport/tpm_socket/control_session.h"
#include "vmgs/base/descriptor.h"
#include "vmgs/base/result.h"

namespace transport::tpm_socket {

struct ControlLimits {
  // Clients at once. One more takes the place of the one that was silent for longest, but never of
  // the one that handed the data channel over: nobody keeps a hypervisor out by connecting.
  std::size_t connections = 64;
  // How long a client may take between two pieces of a request, or to read an answer. The owner of
  // the data channel may take longer: a hypervisor can be stopped by a debugger.
  std::chrono::milliseconds silence = std::chrono::seconds(2);
};

// What a program wants to know of its control clients. Called on the server's thread.
struct ControlEvents {
  // SHUTDOWN was answered.
  std::function<void()> shut_down = [] {};
  // A hypervisor came, that is a client handed the data channel over; or it has gone.
  std::function<void(bool)> hypervisor = [](bool) {};
  // A client has gone, whichever.
  std::function<void()> client_gone = [] {};
};

struct ControlServerState;

// ControlServer serves control clients, several at once, one request of each at a time.
class ControlServer {
 public:
  // Begins to accept as soon as `io` runs, on its thread, of which there is one; the handler is
  // called there. `listener` is a stream socket of any family, or not open where nobody connects.
  // `handler` must outlive `io`'s run.
  ControlServer(boost::asio::io_context& io, base::Descriptor listener, ControlHandler& handler,
                ControlLimits limits, ControlEvents events);

  ControlServer(const ControlServer&) = delete;
  ControlServer& operator=(const ControlServer&) = delete;

  // Closes the listener and every connection.
  ~ControlServer();

  // stop_accepting() keeps the clients that are there and takes no more. Those that were accepted
  // already are there once what `io` has to do by now is done.
  void stop_accepting();

  // accept_at() accepts at another listener, or the same again, after stop_accepting().
  void accept_at(base::Descriptor listener);

  // A client between two requests.
  struct Client {
    base::Descriptor socket;
    ControlSession::AtRest session;
  };

  // clients() gives them all, with descriptors of their own, for another process to serve. Called
  // on the server's thread, and nothing of theirs is read until that returns to `io`. kUnavailable
  // while one is in the middle of a request; kIo.
  [[nodiscard]] base::Result<std::vector<Client>> clients() const;

  // serve() goes on with such a client, or begins with one whose connection was passed to this
  // process. Called on the server's thread, or before `io` runs.
  void serve(Client client);
  void serve(base::Descriptor connected);

 private:
  std::shared_ptr<ControlServerState> state_;
};

}  // namespace transport::tpm_socket
