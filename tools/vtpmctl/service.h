// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/json/object.hpp>
#include <functional>
#include <string>
#include <utility>

#include "keybroker/protocol/authority_service.pb.h"
#include "keybroker/protocol/vm_service.pb.h"
#include "tools/cli/message.h"
#include "tools/cli/output.h"
#include "transport/rpc/waiting_client.h"
#include "vmgs/base/result.h"

namespace CLI {
class App;
}

namespace tools::vtpmctl {

namespace api = strongroom::host::v1;

// Service is vtpmd as this program sees it: each call waits for its answer.
class Service {
 public:
  // Where vtpmd listens; as the command line has it.
  std::string socket = "/run/vtpmd/vtpmd.sock";

  // Milliseconds; 0 is as long as it takes.
  std::int64_t timeout = 0;

  template <typename Response>
  base::Result<Response> call(const char* method, const google::protobuf::Message& request) const {
    return client().call<Response>(method, request, limit());
  }

  // call_authority() calls vtpmd's AK certificate authority.
  template <typename Response>
  base::Result<Response> call_authority(const char* method,
                                        const google::protobuf::Message& request) const {
    return authority().call<Response>(method, request, limit());
  }

  // watch() hands over each change until `take` says false.
  base::Result<void> watch(const api::WatchVmsRequest& request,
                           const std::function<bool(const api::WatchVmsResponse&)>& take) const {
    return client().watch<api::WatchVmsResponse>("WatchVms", request, take, limit());
  }

 private:
  [[nodiscard]] transport::rpc::WaitingClient client() const {
    return {socket, *api::Vm::descriptor()->file()->FindServiceByName("VmService")};
  }

  [[nodiscard]] transport::rpc::WaitingClient authority() const {
    return {socket, *api::Ca::descriptor()->file()->FindServiceByName("AuthorityService")};
  }

  [[nodiscard]] transport::rpc::WaitingClient::Timeout limit() const {
    return timeout == 0 ? transport::rpc::WaitingClient::Timeout()
                        : transport::rpc::WaitingClient::Timeout(timeout);
  }
};

// add_service_arguments() declares --socket and --timeout.
void add_service_arguments(CLI::App& app, Service& service);

// Idempotency is what a script may give to a call that changes something.
void add_key_argument(CLI::App& app, std::string& key);

// to_json() is a VM for --json: flat, with names in snake case.
boost::json::object to_json(const api::Vm& vm);

using cli::time_text;
using cli::to_json;

// describe() says a VM for people, with all there is to know.
std::string describe(const api::Vm& vm);

// to_json() is a lockout for --json, and describe() says it for people in a line.
boost::json::object to_json(const api::Lockout& lockout);
std::string describe(const api::Lockout& lockout);

// describe() says a readiness, what it means and what to do, in a few lines.
std::string describe(const api::Readiness& readiness);

}  // namespace tools::vtpmctl
