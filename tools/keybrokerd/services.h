// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/thread_pool.hpp>
#include <chrono>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <utility>

#include "keybroker/crypto/time.h"
#include "keybroker/protocol/launch_document.h"
#include "tools/keybrokerd/desk.h"
#include "tools/keybrokerd/metrics.h"
#include "transport/rpc/method_roles.h"
#include "transport/rpc/run_on.h"
#include "transport/rpc/service.h"
#include "vmgs/base/descriptor.h"
#include "vmgs/base/result.h"

namespace tools::keybrokerd {

// lock_state_folder() keeps a second keybrokerd, or a restore, away for as long as the descriptor
// is open. kUnavailable if somebody has it.
base::Result<base::Descriptor> lock_state_folder(const std::filesystem::path& folder);

// now_in_seconds() is this machine's clock.
keybroker::crypto::Time now_in_seconds();

// Caller is who calls, by the certificate that its TLS connection showed.
struct Caller {
  transport::tls::Role role = transport::tls::Role::kAuditor;
  std::optional<keybroker::protocol::Uuid> tenant;
  std::string name;
};

// Services is the table of all calls of a broker: each a function of a desk, done on a worker's
// thread, with who may call it.
class Services {
 public:
  Services(Desks& desks, boost::asio::thread_pool& pool, Metrics& metrics)
      : desks_(desks), pool_(pool), metrics_(metrics) {}

  // add() enters a call.
  template <typename Request, typename Response>
  void add(const char* service, const char* method, transport::rpc::Roles roles,
           std::function<base::Result<Response>(Desk&, const Request&, const Caller&)> work) {
    const auto& descriptor = service_of(service);
    roles_.allow(descriptor, method, std::move(roles));
    methods_.unary<Request, Response>(
        descriptor, method,
        [this, method, work = std::move(work)](Request request, transport::rpc::CallContext context)
            -> boost::asio::awaitable<base::Result<Response>> {
          return run<Request, Response>(method, work, std::move(request), std::move(context));
        });
  }

  [[nodiscard]] transport::rpc::Methods& methods() { return methods_; }

  [[nodiscard]] transport::rpc::MethodRoles& roles() { return roles_; }

  [[nodiscard]] Desks& desks() { return desks_; }

  [[nodiscard]] boost::asio::thread_pool& pool() { return pool_; }

  // service_of() is a service of the broker's schema. That there is one is asserted.
  static const google::protobuf::ServiceDescriptor& service_of(const char* name);

 private:
  template <typename Request, typename Response>
  boost::asio::awaitable<base::Result<Response>> run(
      const char* method,
      std::function<base::Result<Response>(Desk&, const Request&, const Caller&)> work,
      Request request, transport::rpc::CallContext context) {
    const auto began = std::chrono::steady_clock::now();
    auto task = [this, work = std::move(work), request = std::move(request),
                 caller = caller_of(context)]() -> base::Result<Response> {
      if (!caller) {
        return base::fail(caller.error());
      }
      return desks_.with([&](Desk& desk) { return work(desk, request, *caller); });
    };
    auto done = co_await transport::rpc::run_on(pool_, std::move(task));
    note(method, context, began, done ? nullptr : &done.error());
    co_return done;
  }

  static base::Result<Caller> caller_of(const transport::rpc::CallContext& context);
  void note(const char* method, const transport::rpc::CallContext& context,
            std::chrono::steady_clock::time_point began, const base::Error* error);

  Desks& desks_;
  boost::asio::thread_pool& pool_;
  Metrics& metrics_;
  transport::rpc::Methods methods_;
  transport::rpc::MethodRoles roles_;
};

class SeenCheckpoint;

// One function for each service of broker_service.proto and broker_admin.proto.
void add_key_broker_service(Services& services, Metrics& metrics);
void add_tenant_service(Services& services);
void add_registration_service(Services& services);
void add_policy_service(Services& services);
void add_release_log_service(Services& services, const SeenCheckpoint& seen);
void add_workload_key_service(Services& services);
void add_broker_service(Services& services, const config::KeybrokerdSettings& settings);

}  // namespace tools::keybrokerd
