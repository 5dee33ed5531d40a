// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <chrono>
#include <memory>

#include "transport/rpc/call.h"
#include "transport/rpc/peer.h"
#include "transport/rpc/server.h"
#include "transport/rpc/service.h"

namespace transport::rpc {

// Connection is one caller of a Server: requests one after another until either side has enough.
class Connection {
 public:
  using Socket = asio::local::stream_protocol::socket;

  // What the server may do to it when it stops.
  enum class Phase { kIdle, kUnary, kStream };

  // A caller that is not `admitted` is told so, once, whatever it asks.
  Connection(Socket socket, Peer peer, bool admitted, const Methods& methods,
             const ServerOptions& options);

  // serve() ends when the connection does. It runs once.
  asio::awaitable<void> serve();

  // finish() lets serve() end after the call it is in, if it is in one.
  void finish();

  // cancel() ends the call it is in.
  void cancel();

  [[nodiscard]] Phase phase() const { return phase_; }

  // When it was accepted or had its last answer.
  [[nodiscard]] std::chrono::steady_clock::time_point idle_since() const { return idle_since_; }

  [[nodiscard]] bool is_finishing() const { return finishing_; }

  // The slot that serve() is spawned with.
  [[nodiscard]] asio::cancellation_slot slot() { return cancelled_.slot(); }

 private:
  using Parser = http::request_parser<http::string_body>;

  // Each step says whether the connection can carry another request.
  asio::awaitable<bool> serve_request();
  asio::awaitable<bool> read_failed(const Parser& parser, boost::system::error_code error);
  asio::awaitable<std::optional<RpcError>> read_body(Parser& parser);
  asio::awaitable<bool> serve_unary(const HttpRequest& request, CallHead head, MessagePtr message);
  asio::awaitable<bool> serve_stream(const HttpRequest& request, CallHead head, MessagePtr message);
  asio::awaitable<bool> refuse(const Refusal& refusal, unsigned version, bool keep_alive);
  asio::awaitable<bool> write(http::response<http::string_body> response);
  asio::awaitable<bool> write_chunk(std::string payload);
  asio::awaitable<bool> open_stream(ContentType type, bool keep_alive);
  asio::awaitable<bool> end_stream(const std::optional<RpcError>& error);
  asio::awaitable<base::Result<void>> send(Codec codec, const google::protobuf::Message& message);
  asio::awaitable<void> hang_up();

  Socket socket_;
  Peer peer_;
  bool admitted_;
  const Methods& methods_;
  const ServerOptions& options_;
  boost::beast::flat_buffer received_;
  asio::cancellation_signal cancelled_;
  Phase phase_ = Phase::kIdle;
  std::chrono::steady_clock::time_point idle_since_ = std::chrono::steady_clock::now();
  bool finishing_ = false;
  bool cut_off_ = false;
  // Whether a part of a message was written and the rest was not.
  bool torn_ = false;
};

}  // namespace transport::rpc
