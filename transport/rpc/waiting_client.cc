// SPDX-License-Identifier: Apache-2.0
#include "transport/rpc/waiting_client.h"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <exception>
#include <utility>

#include "transport/rpc/client.h"
#include "transport/tls/context.h"

namespace transport::rpc {

namespace {

// Runs an operation of a client to its end. The client is one of the operation's own variables.
base::Result<void> wait_for(asio::awaitable<base::Result<void>> operation) {
  asio::io_context io;
  std::optional<base::Result<void>> result;
  asio::co_spawn(io, std::move(operation),
                 [&](const std::exception_ptr& bug, base::Result<void> ended) {
                   if (bug) {
                     std::rethrow_exception(bug);
                   }
                   result = std::move(ended);
                 });
  io.run();
  return *std::move(result);
}

asio::awaitable<base::Result<void>> one_call(Client client, std::string method,
                                             const google::protobuf::Message& request,
                                             google::protobuf::Message& response,
                                             Client::Timeout timeout) {
  auto called = co_await client.call_message(std::move(method), request, response, timeout);
  if (!called) {
    co_return base::fail(base_error(std::move(called).error()));
  }
  co_return base::Result<void>();
}

asio::awaitable<base::Result<void>> one_stream(Client client, std::string method,
                                               const google::protobuf::Message& request,
                                               google::protobuf::Message& response,
                                               std::function<bool()> take,
                                               Client::Timeout timeout) {
  auto ended = co_await client.watch_messages(std::move(method), request, response, std::move(take),
                                              timeout);
  co_return ended;
}

}  // namespace

WaitingClient::WaitingClient(std::function<Client()> connect) : connect_(std::move(connect)) {}

WaitingClient::WaitingClient(std::string socket_path,
                             const google::protobuf::ServiceDescriptor& service)
    : WaitingClient([path = std::move(socket_path), &service] { return Client(path, service); }) {}

base::Result<WaitingClient> WaitingClient::create(
    tls::Endpoint endpoint, const tls::CredentialFiles& credentials,
    const google::protobuf::ServiceDescriptor& service) {
  TRY_ASSIGN(context, tls::client_context(credentials));
  return WaitingClient([endpoint = std::move(endpoint), context = std::move(context), &service] {
    return Client({endpoint}, context, service);
  });
}

base::Result<void> WaitingClient::call_message(const std::string& method,
                                               const google::protobuf::Message& request,
                                               google::protobuf::Message& response,
                                               Timeout timeout) const {
  return wait_for(one_call(connect_(), method, request, response, timeout));
}

base::Result<void> WaitingClient::watch_messages(const std::string& method,
                                                 const google::protobuf::Message& request,
                                                 google::protobuf::Message& response,
                                                 std::function<bool()> take,
                                                 Timeout timeout) const {
  return wait_for(one_stream(connect_(), method, request, response, std::move(take), timeout));
}

}  // namespace transport::rpc
