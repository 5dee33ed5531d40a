// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <chrono>
#include <memory>

#include "transport/rpc/call.h"
#include "transport/rpc/response_writer.h"
#include "transport/rpc/server.h"
#include "transport/tls/stream.h"

namespace transport::rpc {

// Connection is one caller of a Server: requests one after another until either side has enough.
class Connection {
 public:
  // What the server may do to it when it stops.
  enum class Phase { kHandshake, kIdle, kUnary, kStream };

  // With `context`, the caller is known after the handshake, and `peer` says no more than where it
  // comes from. A caller that is not `admitted` is told so, once, whatever it asks.
  Connection(tls::Stream::Socket socket, tls::Context context, Peer peer, bool admitted,
             const Served& served, const ServerOptions& options);

  // serve() ends when the connection does. It runs once.
  asio::awaitable<void> serve();

  // finish() lets serve() end after the call it is in, if it is in one.
  void finish();

  // cancel() ends the call it is in.
  void cancel();

  [[nodiscard]] Phase phase() const { return phase_; }

  // Nobody misses much who loses such a connection.
  [[nodiscard]] bool is_idle() const {
    return phase_ == Phase::kIdle || phase_ == Phase::kHandshake;
  }

  // When it was accepted or had its last answer.
  [[nodiscard]] std::chrono::steady_clock::time_point idle_since() const { return idle_since_; }

  [[nodiscard]] bool is_finishing() const { return finishing_; }

  // may_stay() tells whether its caller would be let in under `context` too. One that is still
  // shaking hands does that under the terms it came with, and may not.
  [[nodiscard]] bool may_stay(asio::ssl::context& context) {
    return phase_ != Phase::kHandshake && stream_.is_accepted_by(context);
  }

  [[nodiscard]] const Peer& peer() const { return peer_; }

  // Where it comes from, by network_of(); empty over a Unix socket.
  [[nodiscard]] const std::string& network() const { return network_; }

  // was_refused() tells a caller that the handshake has turned away.
  [[nodiscard]] bool was_refused() const { return was_refused_; }

  // The slot that serve() is spawned with.
  [[nodiscard]] asio::cancellation_slot slot() { return cancelled_.slot(); }

 private:
  using Parser = http::request_parser<http::string_body>;

  // What a request is for: a call, or a route.
  struct Errand {
    std::optional<CallHead> call;
    const Route* route = nullptr;

    [[nodiscard]] bool counts_as_load(http::verb verb) const;
    [[nodiscard]] Urgency urgency() const;
    [[nodiscard]] std::optional<ContentType> stream() const;
  };

  // Each step says whether the connection can carry another request.
  asio::awaitable<bool> shake_hands();
  asio::awaitable<bool> serve_request();
  asio::awaitable<bool> read_failed(const Parser& parser, boost::system::error_code error);
  asio::awaitable<std::optional<RpcError>> read_body(Parser& parser);
  asio::awaitable<bool> refuse_unread(Refusal refusal, unsigned version);
  asio::awaitable<bool> serve_call(const HttpRequest& request, CallHead head);
  asio::awaitable<bool> serve_unary(const HttpRequest& request, CallHead head, MessagePtr message);
  asio::awaitable<bool> serve_stream(const HttpRequest& request, CallHead head, MessagePtr message);
  asio::awaitable<bool> serve_route(HttpRequest request, const Route& route);
  asio::awaitable<void> leave();
  asio::awaitable<void> hang_up();

  [[nodiscard]] tl::expected<Errand, Refusal> judge(const http::request_header<>& header) const;
  [[nodiscard]] std::optional<RpcError> why_not(const Roles& roles) const;
  [[nodiscard]] std::optional<RpcError> why_not(const Method& method) const;

  tls::Stream stream_;
  Peer peer_;
  std::string network_;
  std::string caller_;
  bool admitted_;
  const Served& served_;
  const ServerOptions& options_;
  ResponseWriter writer_;
  boost::beast::flat_buffer received_;
  asio::cancellation_signal cancelled_;
  Phase phase_ = Phase::kHandshake;
  std::chrono::steady_clock::time_point idle_since_ = std::chrono::steady_clock::now();
  bool finishing_ = false;
  bool cut_off_ = false;
  bool was_refused_ = false;
  // Whether a part of a request was left unread.
  bool unread_ = false;
};

}  // namespace transport::rpc
