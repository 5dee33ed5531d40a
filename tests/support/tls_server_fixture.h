// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_future.hpp>
#include <functional>
#include <future>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "tests/support/command.h"
#include "tests/support/temp_folder.h"
#include "tests/support/test_pki.h"
#include "transport/net/tcp_listener.h"
#include "transport/rpc/client.h"
#include "transport/rpc/server.h"
#include "transport/rpc/testing.pb.h"
#include "vmgs/base/log.h"

namespace tests::support {

namespace asio = boost::asio;
namespace rpc = transport::rpc;
namespace tls = transport::tls;

using strongroom::rpc::testing::AddRequest;
using strongroom::rpc::testing::AddResponse;

// A server over TLS on a thread of its own, an operator alice who may call it, and what the
// handlers share, which is touched on the server's thread only.
class TlsServerFixture : public ::testing::Test {
 protected:
  struct World {
    explicit World(const asio::any_io_executor& executor)
        : released(executor, std::chrono::steady_clock::time_point::max()) {}

    asio::steady_timer released;
    std::atomic<int> changes = 0;
    std::promise<void> holding;
    std::promise<void> cancelled;
  };

  TlsServerFixture();
  ~TlsServerFixture() override;

  void start(rpc::ServerOptions options = {}, std::optional<rpc::Door> door = {});

  // renew() gives the server a context of these files, and returns once it has it.
  void renew(const tls::CredentialFiles& files);

  // run() runs a coroutine of the caller's on the test's thread. A client's connections live on the
  // same executor between two runs.
  template <typename T>
  T run(asio::awaitable<T> operation) {
    auto result = asio::co_spawn(caller_io_, std::move(operation), asio::use_future);
    caller_io_.restart();
    caller_io_.run();
    return result.get();
  }

  base::Result<AddResponse> call(const rpc::Client& client, const std::string& method,
                                 const AddRequest& request, rpc::Client::Timeout timeout = {}) {
    return run(client.call<AddResponse>(method, request, timeout));
  }

  // on_server() is what `look` sees on the server's thread.
  template <typename Look>
  auto on_server(Look look) {
    std::promise<decltype(look())> seen;
    asio::post(io_, [&] { seen.set_value(look()); });
    return seen.get_future().get();
  }

  // await_connections() returns once there are so many, await_refused() once so many were refused.
  void await_connections(std::size_t count);
  void await_refused(std::uint64_t count);

  rpc::Client client_with(const TestPki::Files& files);
  rpc::Client client_at(const std::string& host);

  rpc::Client caller() { return client_with(caller_); }

  tls::Context context_of(const TestPki::Files& files);

  // curl() posts {"a":2,"b":40} to a method.
  Ran curl(const std::vector<std::string>& arguments, const std::string& method);

  // get() asks for a path of the server as the caller, fetch() for a URL as nobody; with curl's
  // `more` options. Either gives "BODY STATUS".
  std::string get(const std::string& path, const std::vector<std::string>& more = {});
  static std::string fetch(const std::string& url, const std::vector<std::string>& more = {});

  // call_apart() calls a method of no arguments on a thread of its own: whether it was answered.
  std::future<bool> call_apart(const std::string& method);

  static AddRequest pair(std::int64_t a, std::int64_t b);
  static std::string post(const std::string& method, const std::string& body,
                          const std::string& headers = "");
  static std::string chunked_post(const std::string& method, const std::string& body);

  // log() is all that was logged.
  std::string log();

  TempFolder folder_;
  TestPki pki_{folder_.path(), "test"};
  TestPki::Files service_;
  TestPki::Files caller_;
  tls::CredentialFiles credentials_;
  asio::io_context caller_io_;
  asio::io_context io_;
  World world_;
  rpc::Methods methods_;
  rpc::MethodRoles roles_;
  rpc::Routes routes_;
  std::optional<rpc::Load> load_;
  std::optional<rpc::Server> server_;
  std::uint16_t port_ = 0;
  std::thread thread_;

 private:
  std::mutex log_mutex_;
  std::string log_;
};

const google::protobuf::ServiceDescriptor& calls_service();

}  // namespace tests::support
