// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/use_future.hpp>
#include <cstdlib>
#include <filesystem>
#include <future>
#include <optional>
#include <string>
#include <thread>

#include "transport/rpc/client.h"
#include "transport/rpc/code.h"
#include "transport/rpc/server.h"
#include "transport/rpc/testing.pb.h"
#include "transport/rpc/within.h"

namespace transport::rpc {

namespace testing = strongroom::rpc::testing;
using base::ErrorCode;
using std::chrono::milliseconds;
using testing::AddRequest;
using testing::AddResponse;

inline const google::protobuf::ServiceDescriptor& calls_service() {
  return *AddRequest::descriptor()->file()->FindServiceByName("Calls");
}

// What the handlers below share. It is touched on the server's thread only.
struct World {
  explicit World(const asio::any_io_executor& executor)
      : released(executor, std::chrono::steady_clock::time_point::max()) {}

  asio::steady_timer released;
  int changes = 0;
  std::promise<void> holding;
  // Calls of Hold and Count that were cancelled, for the tests to wait on.
  std::promise<void> cancelled;
};

inline AddResponse sum_of(std::int64_t sum) {
  AddResponse response;
  response.set_sum(sum);
  return response;
}

// Handlers that were cancelled leave by whatever way; this tells that one has left.
struct Leaving {
  explicit Leaving(World* world) : world_(world) {}

  Leaving(const Leaving&) = delete;
  Leaving& operator=(const Leaving&) = delete;

  ~Leaving() {
    if (!finished) {
      world_->cancelled.set_value();
    }
  }

  bool finished = false;

 private:
  World* world_;
};

inline asio::awaitable<base::Result<AddResponse>> hold(World* world, AddRequest) {
  Leaving leaving(world);
  world->holding.set_value();
  co_await world->released.async_wait(as_values);
  const auto state = co_await asio::this_coro::cancellation_state;
  leaving.finished = state.cancelled() == asio::cancellation_type::none;
  co_return sum_of(1);
}

inline asio::awaitable<base::Result<void>> count(World* world, AddRequest request,
                                                 Sink<AddResponse> sink) {
  Leaving leaving(world);
  if (request.a() < 0) {
    auto sent = co_await sink.send(sum_of(0));
    CO_TRY(std::move(sent));
    leaving.finished = true;
    co_return base::fail(ErrorCode::kDenied, "below zero");
  }
  for (auto n = request.a(); request.b() == 0 || n < request.b(); ++n) {
    auto response = sum_of(n);
    response.set_note(request.note());
    auto sent = co_await sink.send(response);
    CO_TRY(std::move(sent));
  }
  leaving.finished = true;
  co_return base::Result<void>{};
}

inline Methods methods_of(World* world) {
  Methods methods;
  methods.unary<AddRequest, AddResponse>(
      calls_service(), "Add",
      [](AddRequest request, CallContext) -> asio::awaitable<base::Result<AddResponse>> {
        co_return sum_of(request.a() + request.b());
      });
  methods.unary<AddRequest, AddResponse>(
      calls_service(), "Change",
      [world](AddRequest, CallContext) -> asio::awaitable<base::Result<AddResponse>> {
        co_return sum_of(++world->changes);
      });
  methods.unary<testing::FailRequest, AddResponse>(
      calls_service(), "Fail",
      [](testing::FailRequest request, CallContext) -> asio::awaitable<base::Result<AddResponse>> {
        co_return base::fail(error_code_of(code_named(request.code()).value_or(Code::kUnknown)),
                             "as asked");
      });
  methods.unary<AddRequest, AddResponse>(
      calls_service(), "Hold",
      [world](AddRequest request, CallContext) { return hold(world, std::move(request)); });
  methods.unary<AddRequest, AddResponse>(
      calls_service(), "Release",
      [world](AddRequest, CallContext) -> asio::awaitable<base::Result<AddResponse>> {
        co_return sum_of(static_cast<std::int64_t>(world->released.cancel()));
      });
  methods.stream<AddRequest, AddResponse>(
      calls_service(), "Count", [world](AddRequest request, CallContext, Sink<AddResponse> sink) {
        return count(world, std::move(request), std::move(sink));
      });
  return methods;
}

// A server on a thread of its own, and a caller's means: raw sockets, the client, curl.
class ServerTest : public ::testing::Test {
 protected:
  ServerTest() : world_(io_.get_executor()), methods_(methods_of(&world_)) {
    std::string pattern = std::filesystem::temp_directory_path() / "rpc.XXXXXX";
    folder_ = mkdtemp(pattern.data());
    path_ = folder_ / "service.sock";
  }

  ~ServerTest() override {
    if (thread_.joinable()) {
      stop(milliseconds(0));
      io_.stop();
      thread_.join();
    }
    std::filesystem::remove_all(folder_);
  }

  void start(ServerOptions options = {}, PeerPolicy policy = {getuid(), {}}) {
    const Server::Acceptor::endpoint_type address(
        asio::local::stream_protocol::endpoint(path_.string()));
    Server::Acceptor acceptor(io_, address);
    server_.emplace(std::move(acceptor), policy, Served{.methods = &methods_}, options);
    server_->start();
    thread_ = std::thread([this] {
      const auto work = asio::make_work_guard(io_);
      io_.run();
    });
  }

  void stop(milliseconds grace) {
    asio::co_spawn(io_, server_->stop(grace), asio::use_future).get();
  }

  // run() runs a coroutine of the caller's on a thread of the caller's.
  template <typename T>
  T run(asio::awaitable<T> operation) {
    asio::io_context io;
    auto result = asio::co_spawn(io, std::move(operation), asio::use_future);
    io.run();
    return result.get();
  }

  Client client() { return {path_.string(), calls_service()}; }

  template <typename Request>
  base::Result<AddResponse> call(const std::string& method, const Request& request,
                                 Client::Timeout timeout = {}) {
    return run(client().call<AddResponse>(method, request, timeout));
  }

  // connect() is a socket that speaks whatever the test says.
  int connect() {
    const int raw = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path_.string().copy(address.sun_path, sizeof(address.sun_path) - 1);
    EXPECT_EQ(::connect(raw, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
    return raw;
  }

  // exchange() sends `request` and gives all that comes back until the server closes.
  std::string exchange(const std::string& request) {
    const int raw = connect();
    EXPECT_EQ(send(raw, request.data(), request.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(request.size()));
    auto answer = read_all(raw);
    close(raw);
    return answer;
  }

  static std::string read_all(int raw) {
    std::string all;
    std::array<char, 4096> piece{};
    for (;;) {
      const auto got = read(raw, piece.data(), piece.size());
      if (got <= 0) {
        return all;
      }
      all.append(piece.data(), static_cast<std::size_t>(got));
    }
  }

  static std::string read_some(int raw) {
    std::array<char, 4096> piece{};
    const auto got = read(raw, piece.data(), piece.size());
    return {piece.data(), got > 0 ? static_cast<std::size_t>(got) : 0};
  }

  // curl() runs curl against the server and gives "BODY STATUS".
  std::string curl(const std::string& method, const std::string& arguments) {
    const auto command = "curl --silent --show-error --unix-socket " + path_.string() +
                         " --write-out ' %{http_code}' " + arguments +
                         " http://localhost/strongroom.rpc.testing.Calls/" + method + " 2>&1";
    FILE* pipe = popen(command.c_str(), "r");
    std::string output;
    std::array<char, 4096> piece{};
    while (fgets(piece.data(), piece.size(), pipe) != nullptr) {
      output += piece.data();
    }
    pclose(pipe);
    return output;
  }

  static AddRequest pair(std::int64_t a, std::int64_t b) {
    AddRequest request;
    request.set_a(a);
    request.set_b(b);
    return request;
  }

  asio::io_context io_;
  World world_;
  Methods methods_;
  std::filesystem::path folder_;
  std::filesystem::path path_;
  std::optional<Server> server_;
  std::thread thread_;
};

inline std::string post(const std::string& method, const std::string& body,
                        const std::string& headers = "Connection: close\r\n") {
  return "POST /strongroom.rpc.testing.Calls/" + method +
         " HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n" + headers +
         "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

}  // namespace transport::rpc
