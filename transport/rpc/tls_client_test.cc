// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <thread>

#include "tests/support/tls_server_fixture.h"

namespace transport::rpc {
namespace {

using base::ErrorCode;
using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;
namespace http = boost::beast::http;
using ::testing::HasSubstr;
using tests::support::AddResponse;
using tests::support::calls_service;
using TlsClientTest = tests::support::TlsServerFixture;

// A service that answers one request with these bytes, and then cuts the connection as somebody in
// between would, or ends it in order.
class ScriptedService {
 public:
  enum class End { kCut, kInOrder };

  ScriptedService(tls::Context context, std::string answer, End end)
      : acceptor_(io_, {asio::ip::address_v4::loopback(), 0}),
        thread_([this, context = std::move(context), answer = std::move(answer), end] {
          asio::ssl::stream<asio::ip::tcp::socket> stream(acceptor_.accept(), *context);
          stream.handshake(asio::ssl::stream_base::server);
          boost::beast::flat_buffer received;
          http::request<http::string_body> request;
          http::read(stream, received, request);
          asio::write(stream, asio::buffer(answer));
          if (end == End::kInOrder) {
            boost::system::error_code ignored;
            stream.shutdown(ignored);
          }
        }) {}

  ~ScriptedService() { thread_.join(); }

  [[nodiscard]] std::uint16_t port() const { return acceptor_.local_endpoint().port(); }

 private:
  asio::io_context io_;
  asio::ip::tcp::acceptor acceptor_;
  std::thread thread_;
};

// An address where connections are taken and nothing is ever said.
struct SilentService {
  asio::io_context io;
  asio::ip::tcp::acceptor acceptor{io, {asio::ip::address_v4::loopback(), 0}};

  [[nodiscard]] tls::Endpoint endpoint() const {
    return {"127.0.0.1", acceptor.local_endpoint().port(), true};
  }
};

TEST_F(TlsClientTest, TakesACutAnswerForNone) {
  const auto context = tls::server_context(credentials_);
  ASSERT_TRUE(context);
  AddResponse whole;
  whole.set_sum(42);
  const auto body = whole.SerializeAsString();
  const std::string head = "HTTP/1.1 200 OK\r\nContent-Type: application/proto\r\n";
  // With a length the half is short; without one, the end of the stream is all that says it is
  // whole.
  for (const auto& answer : {head + "Content-Length: 9\r\n\r\n" + body, head + "\r\n" + body}) {
    ScriptedService service(*context, answer, ScriptedService::End::kCut);
    port_ = service.port();

    const auto called = call(caller(), "Add", pair(1, 1));

    ASSERT_FALSE(called);
    EXPECT_EQ(called.error().code, ErrorCode::kUnavailable);
    EXPECT_THAT(called.error().message, HasSubstr("cut"));
  }
  ScriptedService service(*context, head + "\r\n" + body, ScriptedService::End::kInOrder);
  port_ = service.port();
  const auto called = call(caller(), "Add", pair(1, 1));
  ASSERT_TRUE(called) << called.error().message;
  EXPECT_EQ(called->sum(), 42);
}

TEST_F(TlsClientTest, KeepsItsConnectionForTheNextCall) {
  start();
  const auto client = caller();
  const auto first = call(client, "Add", pair(1, 1));
  const auto second = call(client, "Add", pair(1, 1));

  ASSERT_TRUE(first && second);
  // The note has the port that the call came from.
  EXPECT_EQ(first->note(), second->note());
}

TEST_F(TlsClientTest, MakesAnotherConnectionWhenTheServerHasClosedTheKeptOne) {
  start({.idle_limit = milliseconds(20)});
  const auto client = caller();
  const auto first = call(client, "Add", pair(1, 1));
  await_connections(0);

  const auto second = call(client, "Add", pair(1, 1));

  ASSERT_TRUE(first);
  ASSERT_TRUE(second) << second.error().message;
  EXPECT_NE(first->note(), second->note());
}

TEST_F(TlsClientTest, TriesItsEndpointsInTurn) {
  start();
  std::uint16_t nobody = 0;
  {
    asio::io_context io;
    asio::ip::tcp::acceptor gone(io, {asio::ip::address_v4::loopback(), 0});
    nobody = gone.local_endpoint().port();
  }
  const tls::Endpoint here{"127.0.0.1", port_, true};
  const tls::Endpoint dead{"127.0.0.1", nobody, true};

  EXPECT_TRUE(call({{dead, here}, context_of(caller_), calls_service()}, "Add", pair(1, 1)));

  const auto answer = call({{dead, dead}, context_of(caller_), calls_service()}, "Add", pair(1, 1));
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, ErrorCode::kUnavailable);
  EXPECT_THAT(answer.error().message, HasSubstr(dead.authority()));
}

// One that takes the connection and says nothing must leave time for the next.
TEST_F(TlsClientTest, LeavesTimeForTheNextEndpoint) {
  start();
  const SilentService silent;
  const Client client({silent.endpoint(), {"127.0.0.1", port_, true}}, context_of(caller_),
                      calls_service());

  EXPECT_TRUE(call(client, "Add", pair(1, 1), seconds(4)));
}

TEST_F(TlsClientTest, GivesUpInTheTimeItWasGiven) {
  const SilentService silent;
  const Client client({silent.endpoint()}, context_of(caller_), calls_service());

  const auto answer = call(client, "Add", pair(1, 1), milliseconds(100));

  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, ErrorCode::kUnavailable);
  EXPECT_THAT(answer.error().message, HasSubstr("within 100 ms"));
}

TEST_F(TlsClientTest, IsToldAtOnceWhenThereIsTooMuchToDo) {
  load_.emplace(LoadLimits{.in_work = 1,
                           .waiting = 0,
                           .longest_wait = hours(1),
                           .shortest_retry = seconds(3),
                           .longest_retry = seconds(3)});
  routes_.get("/livez", [](RouteRequest) -> asio::awaitable<RouteAnswer> {
    co_return RouteAnswer{200, "text/plain", "live"};
  });
  start();
  auto entered = world_.holding.get_future();
  auto held = call_apart("Hold");
  entered.get();

  const auto client = caller();
  const auto shed = run(client.ask<AddResponse>("Change", pair(0, 0)));

  ASSERT_FALSE(shed);
  EXPECT_EQ(shed.error().code, Code::kUnavailable);
  EXPECT_EQ(shed.error().retry_after, seconds(3));
  EXPECT_THAT(call(client, "Change", pair(0, 0)).error().message, HasSubstr("try again in 3 s"));
  EXPECT_EQ(world_.changes, 0);
  // Who watches the service needs its answer now.
  EXPECT_EQ(get("/livez"), "live 200");

  asio::post(io_, [this] { world_.released.cancel(); });
  EXPECT_TRUE(held.get());
  EXPECT_TRUE(call(client, "Change", pair(0, 0)));
  EXPECT_EQ(load_->refused(), 2U);
}

TEST_F(TlsClientTest, WaitsForAPlace) {
  load_.emplace(LoadLimits{.in_work = 1, .waiting = 1, .longest_wait = hours(1)});
  start();
  auto entered = world_.holding.get_future();
  auto held = call_apart("Hold");
  entered.get();
  auto second = call_apart("Change");
  while (on_server([&] { return load_->waiting(); }) != 1) {
    std::this_thread::yield();
  }
  EXPECT_EQ(world_.changes, 0);

  asio::post(io_, [this] { world_.released.cancel(); });

  EXPECT_TRUE(held.get());
  EXPECT_TRUE(second.get());
  EXPECT_EQ(world_.changes, 1);
}

// The routes of the tests below.
void enter_routes(Routes& routes) {
  routes.get("/livez", [](RouteRequest) -> asio::awaitable<RouteAnswer> {
    co_return RouteAnswer{200, "text/plain", "live"};
  });
  routes.get("/metrics", {tls::Role::kAuditor},
             [](RouteRequest request) -> asio::awaitable<RouteAnswer> {
               co_return RouteAnswer{200, "text/plain", request.query};
             });
  routes.post("/echo", {tls::Role::kOperator},
              [](RouteRequest request) -> asio::awaitable<RouteAnswer> {
                co_return RouteAnswer{202, request.content_type,
                                      request.body + " of " + describe(request.peer)};
              });
}

TEST_F(TlsClientTest, ServesRoutesByRole) {
  enter_routes(routes_);
  start();

  EXPECT_EQ(get("/livez"), "live 200");
  EXPECT_THAT(get("/metrics"), HasSubstr("the role operator may not do this"));
  EXPECT_THAT(get("/metrics"), ::testing::EndsWith(" 403"));
  EXPECT_THAT(get("/echo", {"--data", "hello"}), ::testing::StartsWith("hello of operator alice"));
  EXPECT_THAT(get("/echo", {"--data", "hello"}), ::testing::EndsWith(" 202"));
  EXPECT_THAT(get("/echo"), ::testing::EndsWith(" 405"));
  EXPECT_THAT(get("/nothing"), ::testing::EndsWith(" 404"));

  caller_ = pki_.caller("eve", {{"OU", "auditor"}, {"CN", "eve"}});
  EXPECT_EQ(get("/metrics?a=b"), "a=b 200");
  EXPECT_EQ(get("/livez?verbose"), "live 200");
}

TEST_F(TlsClientTest, LetsStrangersNoFartherThanTheOpenRoutes) {
  enter_routes(routes_);
  start({}, Door(Anyone{}));
  const auto http = [this](const std::string& path, std::vector<std::string> more = {}) {
    return fetch("http://127.0.0.1:" + std::to_string(port_) + path, std::move(more));
  };

  EXPECT_EQ(http("/livez"), "live 200");
  EXPECT_THAT(http("/metrics"), ::testing::EndsWith(" 401"));
  EXPECT_THAT(http("/echo", {"--data", "x"}), ::testing::EndsWith(" 401"));
  EXPECT_THAT(http("/strongroom.rpc.testing.Calls/Change", {"--json", "{}"}),
              ::testing::EndsWith(" 401"));
  EXPECT_EQ(world_.changes, 0);
}

TEST_F(TlsClientTest, ServesEveryoneOverTlsWhereNoCertificateIsAskedFor) {
  enter_routes(routes_);
  const auto context = tls::server_context(credentials_, tls::Callers::kAnyone);
  ASSERT_TRUE(context);
  start({}, Door(*context));

  EXPECT_EQ(get("/livez"), "live 200");
  EXPECT_THAT(get("/metrics"), ::testing::EndsWith(" 401"));
}

}  // namespace
}  // namespace transport::rpc
