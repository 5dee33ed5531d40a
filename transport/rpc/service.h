// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <boost/asio/awaitable.hpp>
#include <cstdlib>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "transport/rpc/load.h"
#include "transport/rpc/peer.h"
#include "vmgs/base/result.h"

namespace transport::rpc {

namespace asio = boost::asio;

// CallContext is what a handler may know about a call besides its request.
struct CallContext {
  Peer peer;
};

// MessageSink sends one message of a stream to the caller; it waits for a caller that reads
// slowly. kUnavailable once the caller is gone; the handler then ends.
using MessageSink =
    std::function<asio::awaitable<base::Result<void>>(const google::protobuf::Message&)>;

// Sink is a MessageSink that takes only the messages of its method.
template <typename Response>
class Sink {
 public:
  explicit Sink(MessageSink send) : send_(std::move(send)) {}

  // The message must live until the send is done, so it is awaited on the spot.
  asio::awaitable<base::Result<void>> send(const Response& message) { return send_(message); }

 private:
  MessageSink send_;
};

// Handlers take all they get by value, for they outlive the frame that calls them. A handler is
// cancelled when the deadline passes, the caller hangs up or the server stops: what it awaits ends
// with an error, or its next await throws out of it, as Asio has it. So what must be done whole is
// done between two awaits, and what must be undone is undone by a destructor.
template <typename Request, typename Response>
using UnaryHandler = std::function<asio::awaitable<base::Result<Response>>(Request, CallContext)>;

template <typename Request, typename Response>
using StreamHandler =
    std::function<asio::awaitable<base::Result<void>>(Request, CallContext, Sink<Response>)>;

using MessagePtr = std::unique_ptr<google::protobuf::Message>;

// Method is one row of the table of calls. Of `unary` and `stream` one is set, as the schema says.
struct Method {
  const google::protobuf::MethodDescriptor* descriptor;
  const google::protobuf::Message* request_prototype;
  std::function<asio::awaitable<base::Result<MessagePtr>>(MessagePtr, CallContext)> unary;
  std::function<asio::awaitable<base::Result<void>>(MessagePtr, CallContext, MessageSink)> stream;
  Urgency urgency = Urgency::kOrdinary;

  // has_no_side_effects() is the schema's word that a call may be a GET.
  [[nodiscard]] bool has_no_side_effects() const;
};

// Methods is the table of calls of a server, by path: "/package.Service/Method". It is filled
// before the server starts and then only read.
class Methods {
 public:
  // unary() and stream() enter the handler of a method of `service`. That the method exists, and
  // that its messages and its kind are those of the handler, is asserted: it is fixed when the
  // program is built, and the first test that starts it finds out.
  template <typename Request, typename Response>
  void unary(const google::protobuf::ServiceDescriptor& service, std::string_view method,
             UnaryHandler<Request, Response> handler);

  template <typename Request, typename Response>
  void stream(const google::protobuf::ServiceDescriptor& service, std::string_view method,
              StreamHandler<Request, Response> handler);

  // set_urgent() gives calls of a method, which is entered, the places that a Load reserves.
  void set_urgent(const google::protobuf::ServiceDescriptor& service, std::string_view method);

  // find() is the method at a path, or null.
  [[nodiscard]] const Method* find(std::string_view path) const;

  // missing() names the methods of `service` that have no handler, comma-separated; empty if all
  // have one.
  [[nodiscard]] std::string missing(const google::protobuf::ServiceDescriptor& service) const;

 private:
  void enter(const google::protobuf::ServiceDescriptor& service, std::string_view name,
             const google::protobuf::Message& request, const google::protobuf::Message& response,
             Method method);

  std::map<std::string, Method, std::less<>> by_path_;
};

template <typename Request, typename Response>
asio::awaitable<base::Result<MessagePtr>> answer(UnaryHandler<Request, Response> handler,
                                                 MessagePtr request, CallContext context) {
  auto typed = std::move(static_cast<Request&>(*request));
  auto response = co_await handler(std::move(typed), std::move(context));
  if (!response) {
    co_return base::fail(std::move(response).error());
  }
  co_return std::make_unique<Response>(*std::move(response));
}

template <typename Request, typename Response>
asio::awaitable<base::Result<void>> answer_stream(StreamHandler<Request, Response> handler,
                                                  MessagePtr request, CallContext context,
                                                  MessageSink sink) {
  auto typed = std::move(static_cast<Request&>(*request));
  auto ended =
      co_await handler(std::move(typed), std::move(context), Sink<Response>(std::move(sink)));
  co_return ended;
}

template <typename Request, typename Response>
void Methods::unary(const google::protobuf::ServiceDescriptor& service, std::string_view method,
                    UnaryHandler<Request, Response> handler) {
  Method row{};
  row.unary = [handler = std::move(handler)](MessagePtr request, CallContext context) {
    return answer<Request, Response>(handler, std::move(request), std::move(context));
  };
  enter(service, method, Request::default_instance(), Response::default_instance(), std::move(row));
}

template <typename Request, typename Response>
void Methods::stream(const google::protobuf::ServiceDescriptor& service, std::string_view method,
                     StreamHandler<Request, Response> handler) {
  Method row{};
  row.stream = [handler = std::move(handler)](MessagePtr request, CallContext context,
                                              MessageSink sink) {
    return answer_stream<Request, Response>(handler, std::move(request), std::move(context),
                                            std::move(sink));
  };
  enter(service, method, Request::default_instance(), Response::default_instance(), std::move(row));
}

}  // namespace transport::rpc
