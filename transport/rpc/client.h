// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <utility>

#include "vmgs/base/result.h"

namespace transport::rpc {

namespace asio = boost::asio;

// Client calls one service over a Unix socket, each call on a connection of its own. Errors are
// those that the service gave; kUnavailable if there is no service or it went away, and
// kUnavailable if `timeout` passed. It may be used from the thread of the awaiting executor.
class Client {
 public:
  using Timeout = std::optional<std::chrono::milliseconds>;

  // `service` outlives the client.
  Client(std::string socket_path, const google::protobuf::ServiceDescriptor& service)
      : socket_path_(std::move(socket_path)), service_(service) {}

  // call() makes a unary call. `method` is one of the service's, with these messages.
  template <typename Response, typename Request>
  asio::awaitable<base::Result<Response>> call(std::string method, Request request,
                                               Timeout timeout = {}) const {
    Response response;
    auto called = co_await call_message(std::move(method), request, response, timeout);
    if (!called) {
      co_return base::fail(std::move(called).error());
    }
    co_return response;
  }

  // watch() makes a streaming call and hands over each message until the stream ends or `take`
  // says false, which hangs up and is a success.
  template <typename Response, typename Request>
  asio::awaitable<base::Result<void>> watch(std::string method, Request request,
                                            std::function<bool(const Response&)> take,
                                            Timeout timeout = {}) const {
    Response response;
    auto ended = co_await watch_messages(
        std::move(method), request, response, [&] { return take(response); }, timeout);
    co_return ended;
  }

 private:
  asio::awaitable<base::Result<void>> call_message(std::string method,
                                                   const google::protobuf::Message& request,
                                                   google::protobuf::Message& response,
                                                   Timeout timeout) const;
  asio::awaitable<base::Result<void>> watch_messages(std::string method,
                                                     const google::protobuf::Message& request,
                                                     google::protobuf::Message& response,
                                                     std::function<bool()> take,
                                                     Timeout timeout) const;

  std::string socket_path_;
  const google::protobuf::ServiceDescriptor& service_;
};

}  // namespace transport::rpc
