// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <chrono>
#include <memory>
#include <variant>

#include "transport/rpc/load.h"
#include "transport/rpc/method_roles.h"
#include "transport/rpc/peer.h"
#include "transport/rpc/routes.h"
#include "transport/rpc/service.h"
#include "transport/tls/context.h"
#include "vmgs/base/descriptor.h"

namespace transport::rpc {

struct ServerOptions {
  std::size_t max_request_bytes = std::size_t{1} << 20;
  std::uint32_t max_header_bytes = 16 * 1024;
  // One more takes the place of the caller that has been idle, or shaking hands, for longest. While
  // there is none it waits in the listening socket's queue.
  std::size_t max_connections = 512;
  // Of one network_of() a caller's address; one more is closed at once. 0: as many as there are.
  std::size_t max_connections_of_one = 0;
  // From the arrival of a caller to the end of the TLS handshake.
  std::chrono::milliseconds handshake_limit{5'000};
  // From the end of one request to the end of the next one's header.
  std::chrono::milliseconds idle_limit{60'000};
  // From the end of the header to the end of the body.
  std::chrono::milliseconds body_limit{10'000};
  // For a caller to take one message of ours.
  std::chrono::milliseconds write_limit{30'000};
  // The deadline of a unary call that names none, and the longest one that may be named. Streams
  // have only the deadline that they name.
  std::chrono::milliseconds longest_call{600'000};
};

// Anyone is a listener without TLS that knows nobody: for health, on the loopback address.
struct Anyone {};

// Door is how callers come in at a listener: by a Unix socket and who they are there, by TLS, or as
// they are. Whether TLS asks for a certificate, its context says.
using Door = std::variant<PeerPolicy, tls::Context, Anyone>;

// Served is what a server serves. All of it outlives the server's last connection.
struct Served {
  const Methods* methods = nullptr;
  // Who may call what, of those that come by TLS; over a Unix socket the door has decided. Without
  // it nobody may call anything there.
  const MethodRoles* roles = nullptr;
  const Routes* routes = nullptr;
  // Bounds the unary calls and the POSTs that are worked on; without it, connections do. Streams
  // are bounded by connections.
  Load* load = nullptr;
};

// Server answers calls of the Connect protocol, and plain routes, over HTTP/1.1. It knows methods
// by a table and nothing of what they mean. One thread: that of its executor.
class Server {
 public:
  using Acceptor = asio::basic_socket_acceptor<asio::generic::stream_protocol>;

  // acceptor_of() is an acceptor for a socket that listens already, Unix or TCP. kInvalidArgument
  // if it is no socket.
  static base::Result<Acceptor> acceptor_of(const asio::any_io_executor& executor,
                                            base::Descriptor socket);

  Server(Acceptor acceptor, Door door, Served served, ServerOptions options);
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  ~Server();

  // start() begins to accept. It returns at once.
  void start();

  // renew() takes another context for the callers to come. Of those that are there, whose
  // certificate would not be taken any more, because it was revoked or its authority is no longer
  // believed, are closed after the call they are in; the others keep theirs. It is for a server
  // whose door is TLS.
  void renew(tls::Context context);

  // stop() accepts no more, ends streams with `unavailable` and idle connections at once, and gives
  // other calls `grace` to finish before it cancels them. When it is done no connection is left.
  asio::awaitable<void> stop(std::chrono::milliseconds grace);

  [[nodiscard]] std::size_t connections() const;

  // refused_callers() counts those that were turned away at the door, or in their handshake.
  [[nodiscard]] std::uint64_t refused_callers() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace transport::rpc
