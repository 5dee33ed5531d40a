// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <tl/expected.hpp>
#include <utility>
#include <vector>

#include "transport/rpc/code.h"
#include "transport/rpc/lines.h"
#include "transport/tls/context.h"
#include "transport/tls/endpoint.h"
#include "vmgs/base/result.h"

namespace transport::rpc {

namespace asio = boost::asio;

// Client calls one service. Errors are those that the service gave; kUnavailable if there is no
// service or it went away, and kUnavailable if `timeout` passed; kAuthentication if either side
// does not accept the other's certificate. A call whose service went away may have been done or
// not: what changes something carries a key by which the service knows it again.
//
// It may be used from the thread of the awaiting executor; over TLS, always of the same. Copies
// share their connections.
class Client {
 public:
  using Timeout = std::optional<std::chrono::milliseconds>;

  // Over a Unix socket, each call has a connection of its own. `service` outlives the client.
  Client(std::string socket_path, const google::protobuf::ServiceDescriptor& service)
      : lines_(std::make_shared<Lines>(std::move(socket_path))), service_(service) {}

  // Over TLS, at the first of the endpoints, of which there is at least one, that can be reached; a
  // connection is kept for the next call.
  Client(std::vector<tls::Endpoint> endpoints, tls::Context context,
         const google::protobuf::ServiceDescriptor& service)
      : lines_(std::make_shared<Lines>(std::move(endpoints), std::move(context))),
        service_(service) {}

  // call() makes a unary call. `method` is one of the service's, with these messages.
  template <typename Response, typename Request>
  asio::awaitable<base::Result<Response>> call(std::string method, Request request,
                                               Timeout timeout = {}) const {
    Response response;
    auto called = co_await call_message(std::move(method), request, response, timeout);
    if (!called) {
      co_return base::fail(base_error(std::move(called).error()));
    }
    co_return response;
  }

  // ask() is call() with the service's own code, and with how long it asks to be left alone.
  template <typename Response, typename Request>
  asio::awaitable<tl::expected<Response, RpcError>> ask(std::string method, Request request,
                                                        Timeout timeout = {}) const {
    Response response;
    auto called = co_await call_message(std::move(method), request, response, timeout);
    if (!called) {
      co_return tl::unexpected<RpcError>(std::move(called).error());
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

  // call_message() and watch_messages() are the two for messages whose type the caller need not
  // know.
  asio::awaitable<tl::expected<void, RpcError>> call_message(
      std::string method, const google::protobuf::Message& request,
      google::protobuf::Message& response, Timeout timeout) const;
  asio::awaitable<base::Result<void>> watch_messages(std::string method,
                                                     const google::protobuf::Message& request,
                                                     google::protobuf::Message& response,
                                                     std::function<bool()> take,
                                                     Timeout timeout) const;

 private:
  std::shared_ptr<Lines> lines_;
  const google::protobuf::ServiceDescriptor& service_;
};

}  // namespace transport::rpc
