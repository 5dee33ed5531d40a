// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <chrono>
#include <memory>

#include "transport/rpc/peer.h"
#include "transport/rpc/service.h"

namespace transport::rpc {

struct ServerOptions {
  std::size_t max_request_bytes = std::size_t{1} << 20;
  std::uint32_t max_header_bytes = 16 * 1024;
  // One more takes the place of the caller that has been idle for longest. While none is idle it
  // waits in the listening socket's queue.
  std::size_t max_connections = 512;
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

// Server answers calls of the Connect protocol over HTTP/1.1 on a Unix socket. It knows methods
// by a table and nothing of what they mean. One thread: that of its executor.
class Server {
 public:
  using Acceptor = asio::local::stream_protocol::acceptor;

  // The acceptor listens already. `methods` outlives the server's last connection.
  Server(Acceptor acceptor, PeerPolicy policy, const Methods& methods, ServerOptions options);
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  ~Server();

  // start() begins to accept. It returns at once.
  void start();

  // stop() accepts no more, ends streams with `unavailable` and idle connections at once, and gives
  // other calls `grace` to finish before it cancels them. When it is done no connection is left.
  asio::awaitable<void> stop(std::chrono::milliseconds grace);

  [[nodiscard]] std::size_t connections() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace transport::rpc
