// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <thread>

#include "transport/nbd/block_export.h"
#include "transport/nbd/session.h"
#include "transport/net/unix_peer.h"
#include "vmgs/base/descriptor.h"
#include "vmgs/base/result.h"
#include "vmgs/base/secret.h"

namespace transport::nbd {

struct ServerLimits {
  // How long a client may take until it has chosen the export. One that has may be silent for as
  // long as it likes, and read answers as late: a hypervisor can be stopped by a debugger, and its
  // flash would not come back.
  std::chrono::milliseconds handshake = std::chrono::seconds(5);
};

// Server serves one block export to one client at a time, on a thread of its own that begins with
// the first client: until then an export that nobody uses costs nothing. Another client is sent
// away while there is one.
class Server {
 public:
  // Called on the server's thread, or on that of `io` by what its owner calls: a client has been
  // let in, or has gone.
  using ClientEvent = std::function<void(bool there)>;

  // start() waits for clients as soon as `io` runs. kIo if the system has no descriptor for it.
  // `block_export` must outlive the server, which is destroyed on the thread of `io`.
  static base::Result<std::unique_ptr<Server>> start(boost::asio::io_context& io,
                                                     base::Descriptor listener,
                                                     BlockExport& block_export,
                                                     net::PeerPolicy policy, ServerLimits limits,
                                                     ClientEvent client);

  // A client between two answers, as another process has left it or is to have it.
  struct AtRest {
    base::Descriptor socket;
    base::SecretBytes unused;  // Session::at_rest()
    base::SecretBytes unsent;  // of the answer before
  };

  // adopt() has a client that chose the export in another process served as soon as go_on() says
  // so. Before `io` runs. Errors of the export.
  base::Result<void> adopt(AtRest client);

  // pause() returns once nothing is read, carried out or answered any more, until go_on(), which is
  // harmless for a server that is not paused.
  void pause();
  void go_on();

  // client() gives the one there is, of a paused server, with a descriptor of its own. kUnavailable
  // while it can be left to nobody; kIo.
  [[nodiscard]] base::Result<std::optional<AtRest>> client() const;

  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // Hangs up after the request that is being carried out, and listens no more. A client that
  // another process has taken notices nothing.
  ~Server();

 private:
  using Clock = BlockExport::Clock;

  struct Client {
    Client(base::Descriptor connected, BlockExport& block_export, Clock::time_point deadline)
        : socket(std::move(connected)), session(block_export), chosen_by(deadline) {}

    Client(AtRest rest, BlockExport& block_export)
        : socket(std::move(rest.socket)),
          session(block_export, std::move(rest.unused)),
          answer(std::move(rest.unsent)) {}

    base::Descriptor socket;
    Session session;
    Clock::time_point chosen_by;
    base::SecretBytes answer;  // what is being sent
    std::size_t sent = 0;

    [[nodiscard]] bool is_sending() const { return sent < answer.size(); }
  };

  Server(boost::asio::io_context& io, base::Descriptor listener, base::Descriptor wake,
         BlockExport& block_export, net::PeerPolicy policy, ServerLimits limits,
         ClientEvent client);

  void begin_with_first_client();
  void begin();
  void serve();
  void accept_client();
  void serve_client(Client& client);
  void lose_client();

  // These give false once the client is of no use any more.
  static bool receive(Client& client);
  bool answer(Client& client);
  static bool send(Client& client);

  // How long poll() may wait.
  [[nodiscard]] int patience_milliseconds(std::optional<Clock::time_point> due) const;

  base::Descriptor listener_;
  base::Descriptor wake_;  // written to when it is time to stop
  BlockExport& export_;
  const net::PeerPolicy policy_;
  const ServerLimits limits_;
  const ClientEvent client_event_;
  boost::asio::posix::stream_descriptor first_client_;

  bool paused_ = false;  // of the thread of `io`

  // Of the serving thread, while there is one.
  std::unique_ptr<Client> client_;
  std::optional<Clock::time_point> no_client_until_;  // the system had no room for one

  std::thread thread_;
};

}  // namespace transport::nbd
