// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <utility>

#include "keybroker/protocol/broker_admin.pb.h"
#include "tools/cli/exit_status.h"
#include "tools/cli/message.h"
#include "tools/cli/output.h"
#include "transport/rpc/waiting_client.h"
#include "vmgs/base/result.h"

namespace CLI {
class App;
}

namespace tools::kbctl {

namespace api = strongroom::broker::v1;
using cli::time_text;
using cli::to_json;

// Service is keybrokerd as this program sees it: each call waits for its answer.
class Service {
 public:
  // "https://host:port"; as the command line has it.
  std::string broker;

  // Who calls: certificate.pem, key.pem, and ca.pem, which the broker's TLS certificate leads to.
  std::filesystem::path identity;

  // Milliseconds.
  std::int64_t timeout = 30'000;

  // In hexadecimal; of a call that was made before and had no answer. Empty: a new one is drawn.
  std::string request_id;

  // call() calls a method of one of the services of broker_admin.proto. What changes something has
  // a request id: where no answer comes it is asked for once more under the same id, and an error
  // then names the id.
  template <typename Response, typename Request>
  base::Result<Response> call(const char* service, const char* method, Request request) const {
    TRY_ASSIGN(known, identify(request));
    auto answered = call_once<Response>(service, method, request);
    if (!known || answered || answered.error().code != base::ErrorCode::kUnavailable) {
      return answered;
    }
    answered = call_once<Response>(service, method, request);
    if (!answered && answered.error().code == base::ErrorCode::kUnavailable) {
      return base::fail(answered.error().code, unknown_outcome(answered.error().message, request));
    }
    return answered;
  }

  // stream() hands over each message until `take` says false.
  template <typename Response>
  base::Result<void> stream(const char* service, const char* method,
                            const google::protobuf::Message& request,
                            const std::function<bool(const Response&)>& take) const {
    TRY_ASSIGN(client, connect(service));
    return client.template watch<Response>(method, request, take, limit());
  }

 private:
  using Client = transport::rpc::WaitingClient;

  template <typename Response>
  base::Result<Response> call_once(const char* service, const char* method,
                                   const google::protobuf::Message& request) const {
    TRY_ASSIGN(client, connect(service));
    return client.template call<Response>(method, request, limit());
  }

  // identify() gives a request its id, if it is of a kind that has one: whether it is.
  base::Result<bool> identify(google::protobuf::Message& request) const;
  static std::string unknown_outcome(const std::string& error,
                                     const google::protobuf::Message& request);

  [[nodiscard]] base::Result<Client> connect(const char* service) const;

  [[nodiscard]] Client::Timeout limit() const {
    return timeout == 0 ? Client::Timeout() : Client::Timeout(timeout);
  }
};

// add_service_arguments() declares --broker, --identity and --timeout.
void add_service_arguments(CLI::App& app, Service& service);

// answer() writes an answer: for --json the whole message, else the text.
base::Result<cli::ExitStatus> answer(cli::Output& output, std::string_view schema,
                                     const google::protobuf::Message& message,
                                     const std::string& text);

// read_text() and read_bytes() read a file of a caller's, "-" is stdin.
base::Result<std::string> read_text(const std::string& from, std::size_t most_bytes);

// describe() says a VM for people, with all there is to know.
std::string describe(const api::Vm& vm);

}  // namespace tools::kbctl
