// SPDX-License-Identifier: Apache-2.0
#include "tests/support/tls_server_fixture.h"

#include <boost/asio/post.hpp>

#include "transport/rpc/within.h"

namespace tests::support {

using rpc::as_values;
using rpc::CallContext;

namespace {

constexpr auto kPath = "/strongroom.rpc.testing.Calls/";

AddResponse sum_of(std::int64_t sum) {
  AddResponse response;
  response.set_sum(sum);
  return response;
}

asio::awaitable<base::Result<AddResponse>> hold(std::promise<void>* holding,
                                                std::promise<void>* cancelled,
                                                asio::steady_timer* released) {
  struct Leaving {
    ~Leaving() {
      if (!finished) {
        cancelled->set_value();
      }
    }

    std::promise<void>* cancelled;
    bool finished = false;
  } leaving{cancelled};

  holding->set_value();
  co_await released->async_wait(as_values);
  const auto state = co_await asio::this_coro::cancellation_state;
  leaving.finished = state.cancelled() == asio::cancellation_type::none;
  co_return sum_of(1);
}

asio::awaitable<base::Result<void>> count(AddRequest request, rpc::Sink<AddResponse> sink) {
  for (auto n = request.a(); n < request.b(); ++n) {
    auto sent = co_await sink.send(sum_of(n));
    CO_TRY(std::move(sent));
  }
  co_return base::Result<void>{};
}

}  // namespace

const google::protobuf::ServiceDescriptor& calls_service() {
  return *AddRequest::descriptor()->file()->FindServiceByName("Calls");
}

TlsServerFixture::TlsServerFixture()
    : service_(pki_.service("service")),
      caller_(pki_.caller("alice", {{"OU", "operator"}, {"CN", "alice"}})),
      credentials_{service_.certificate, service_.key, pki_.authorities()},
      world_(io_.get_executor()) {
  base::set_log_sink([this](base::LogLevel, std::string_view line) {
    const std::lock_guard lock(log_mutex_);
    (log_ += line) += '\n';
  });
  methods_.unary<AddRequest, AddResponse>(
      calls_service(), "Add",
      [](AddRequest request, CallContext context) -> asio::awaitable<base::Result<AddResponse>> {
        auto response = sum_of(request.a() + request.b());
        response.set_note(describe(context.peer));
        co_return response;
      });
  methods_.unary<AddRequest, AddResponse>(
      calls_service(), "Change",
      [this](AddRequest, CallContext) -> asio::awaitable<base::Result<AddResponse>> {
        co_return sum_of(++world_.changes);
      });
  methods_.unary<AddRequest, AddResponse>(calls_service(), "Hold", [this](AddRequest, CallContext) {
    return hold(&world_.holding, &world_.cancelled, &world_.released);
  });
  methods_.unary<AddRequest, AddResponse>(
      calls_service(), "Release",
      [](AddRequest, CallContext) -> asio::awaitable<base::Result<AddResponse>> {
        co_return sum_of(0);
      });
  methods_.stream<AddRequest, AddResponse>(
      calls_service(), "Count", [](AddRequest request, CallContext, rpc::Sink<AddResponse> sink) {
        return count(std::move(request), std::move(sink));
      });
  roles_.allow(calls_service(), "Add", {tls::Role::kOperator, tls::Role::kAuditor});
  for (const auto* method : {"Change", "Hold", "Count"}) {
    roles_.allow(calls_service(), method, {tls::Role::kOperator});
  }
}

TlsServerFixture::~TlsServerFixture() {
  if (thread_.joinable()) {
    asio::co_spawn(io_, server_->stop(std::chrono::milliseconds(0)), asio::use_future).get();
    io_.stop();
    thread_.join();
  }
  base::set_log_sink(nullptr);
}

void TlsServerFixture::start(rpc::ServerOptions options, std::optional<rpc::Door> door) {
  auto socket = transport::net::listen_tcp("127.0.0.1", 0);
  ASSERT_TRUE(socket) << socket.error().message;
  port_ = transport::net::port_of(*socket);
  if (!door) {
    auto context = tls::server_context(credentials_);
    ASSERT_TRUE(context) << context.error().message;
    door = *std::move(context);
  }
  auto acceptor = rpc::Server::acceptor_of(io_.get_executor(), *std::move(socket));
  ASSERT_TRUE(acceptor) << acceptor.error().message;
  server_.emplace(*std::move(acceptor), *std::move(door),
                  rpc::Served{&methods_, &roles_, &routes_, load_ ? &*load_ : nullptr}, options);
  server_->start();
  thread_ = std::thread([this] {
    const auto work = asio::make_work_guard(io_);
    io_.run();
  });
}

void TlsServerFixture::renew(const tls::CredentialFiles& files) {
  auto context = tls::server_context(files);
  ASSERT_TRUE(context) << context.error().message;
  on_server([&] { return server_->renew(*std::move(context)), true; });
}

void TlsServerFixture::await_connections(std::size_t count) {
  while (on_server([&] { return server_->connections(); }) != count) {
    std::this_thread::yield();
  }
}

void TlsServerFixture::await_refused(std::uint64_t count) {
  while (on_server([&] { return server_->refused_callers(); }) < count) {
    std::this_thread::yield();
  }
}

rpc::Client TlsServerFixture::client_with(const TestPki::Files& files) {
  return {{tls::Endpoint{"127.0.0.1", port_, true}}, context_of(files), calls_service()};
}

rpc::Client TlsServerFixture::client_at(const std::string& host) {
  auto endpoint = tls::parse_endpoint("https://" + host + ":" + std::to_string(port_));
  return {{*std::move(endpoint)}, context_of(caller_), calls_service()};
}

tls::Context TlsServerFixture::context_of(const TestPki::Files& files) {
  auto context = tls::client_context({files.certificate, files.key, pki_.authorities()});
  EXPECT_TRUE(context) << context.error().message;
  return *std::move(context);
}

Ran TlsServerFixture::curl(const std::vector<std::string>& arguments, const std::string& method) {
  std::vector<std::string> argv = {
      "/usr/bin/curl", "--silent",         "--show-error", "--cacert", pki_.authorities().string(),
      "--json",        R"({"a":2,"b":40})"};
  argv.insert(argv.end(), arguments.begin(), arguments.end());
  argv.push_back("https://localhost:" + std::to_string(port_) + kPath + method);
  return run_command(argv);
}

std::string TlsServerFixture::get(const std::string& path, const std::vector<std::string>& more) {
  std::vector<std::string> arguments = {"--cacert", pki_.authorities().string(),
                                        "--cert",   caller_.certificate.string(),
                                        "--key",    caller_.key.string()};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return fetch("https://localhost:" + std::to_string(port_) + path, arguments);
}

std::string TlsServerFixture::fetch(const std::string& url, const std::vector<std::string>& more) {
  std::vector<std::string> argv = {"/usr/bin/curl", "--silent", "--show-error", "--write-out",
                                   " %{http_code}"};
  argv.insert(argv.end(), more.begin(), more.end());
  argv.push_back(url);
  const auto ran = run_command(argv);
  return ran.out + ran.err;
}

std::future<bool> TlsServerFixture::call_apart(const std::string& method) {
  return std::async(std::launch::async, [method, given = caller()]() mutable {
    // The client's connections end before the loop that they live on.
    asio::io_context io;
    const auto client = std::move(given);
    auto answer =
        asio::co_spawn(io, client.call<AddResponse>(method, pair(0, 0)), asio::use_future);
    io.run();
    return answer.get().has_value();
  });
}

AddRequest TlsServerFixture::pair(std::int64_t a, std::int64_t b) {
  AddRequest request;
  request.set_a(a);
  request.set_b(b);
  return request;
}

std::string TlsServerFixture::post(const std::string& method, const std::string& body,
                                   const std::string& headers) {
  return std::string("POST ") + kPath + method +
         " HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n" + headers +
         "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

std::string TlsServerFixture::chunked_post(const std::string& method, const std::string& body) {
  return std::string("POST ") + kPath + method +
         " HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
         "Transfer-Encoding: chunked\r\n\r\n" +
         std::to_string(body.size()) + "\r\n" + body + "\r\n0\r\n\r\n";
}

std::string TlsServerFixture::log() {
  const std::lock_guard lock(log_mutex_);
  return log_;
}

}  // namespace tests::support
