// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <chrono>
#include <functional>
#include <optional>
#include <string>

#include "transport/tls/endpoint.h"
#include "vmgs/base/result.h"

namespace transport::tls {
struct CredentialFiles;
}

namespace transport::rpc {

class Client;

// WaitingClient calls one service, for a program that does one thing at a time: each call returns
// with its answer, over a connection and an event loop of its own. Errors are those of Client. Its
// header brings in none of Asio, which most who wait have no use for.
class WaitingClient {
 public:
  using Timeout = std::optional<std::chrono::milliseconds>;

  // Over a Unix socket. `service` outlives the client.
  WaitingClient(std::string socket_path, const google::protobuf::ServiceDescriptor& service);

  // Over TLS. Errors as tls::client_context().
  static base::Result<WaitingClient> create(tls::Endpoint endpoint,
                                            const tls::CredentialFiles& credentials,
                                            const google::protobuf::ServiceDescriptor& service);

  // call() makes a unary call. `method` is one of the service's, with these messages.
  template <typename Response>
  base::Result<Response> call(const std::string& method, const google::protobuf::Message& request,
                              Timeout timeout) const {
    Response response;
    TRY(call_message(method, request, response, timeout));
    return response;
  }

  // watch() makes a streaming call and hands over each message until the stream ends or `take`
  // says false, which hangs up and is a success.
  template <typename Response>
  base::Result<void> watch(const std::string& method, const google::protobuf::Message& request,
                           const std::function<bool(const Response&)>& take,
                           Timeout timeout) const {
    Response response;
    return watch_messages(
        method, request, response, [&] { return take(response); }, timeout);
  }

 private:
  explicit WaitingClient(std::function<Client()> connect);

  base::Result<void> call_message(const std::string& method,
                                  const google::protobuf::Message& request,
                                  google::protobuf::Message& response, Timeout timeout) const;
  base::Result<void> watch_messages(const std::string& method,
                                    const google::protobuf::Message& request,
                                    google::protobuf::Message& response, std::function<bool()> take,
                                    Timeout timeout) const;

  // A client keeps its connection, and so has to end before the loop that its calls run on.
  std::function<Client()> connect_;
};

}  // namespace transport::rpc
