// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "transport/tls/context.h"
#include "transport/tls/endpoint.h"
#include "transport/tls/stream.h"
#include "vmgs/base/result.h"

namespace transport::rpc {

namespace asio = boost::asio;

// Line is a connection to a service, between two calls or in one.
struct Line {
  std::unique_ptr<tls::Stream> stream;
  boost::beast::flat_buffer received{};
  std::string host;  // what a Host header says
  std::chrono::steady_clock::time_point idle_since{};
};

// Lines makes connections to a service, at a Unix socket or at one of several endpoints over TLS,
// and keeps those over TLS for the next call, since a handshake costs more than most calls. One
// thread, and one executor for all that is kept.
class Lines {
 public:
  explicit Lines(std::string socket_path) : socket_path_(std::move(socket_path)) {}

  // There is at least one endpoint.
  Lines(std::vector<tls::Endpoint> endpoints, tls::Context context)
      : endpoints_(std::move(endpoints)), context_(std::move(context)) {}

  // take() gives a connection that nobody else uses. Endpoints are tried in turn from the one that
  // answered last, each with its part of the time until `deadline`. kUnavailable if none answers,
  // else the error of the last; the message says it of all.
  asio::awaitable<base::Result<Line>> take(std::chrono::steady_clock::time_point deadline);

  // keep() takes a connection back whose last answer was read whole.
  void keep(Line line);

  [[nodiscard]] bool keeps() const { return context_ != nullptr; }

 private:
  asio::awaitable<base::Result<Line>> connect_unix();
  asio::awaitable<base::Result<Line>> connect_tls(tls::Endpoint endpoint);
  std::optional<Line> take_kept();

  std::string socket_path_;
  std::vector<tls::Endpoint> endpoints_;
  tls::Context context_;
  std::size_t answered_last_ = 0;
  std::vector<Line> kept_;
};

}  // namespace transport::rpc
