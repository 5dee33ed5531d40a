// SPDX-License-Identifier: Apache-2.0
#include "transport/rpc/server.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/use_future.hpp>
#include <cstdlib>
#include <filesystem>
#include <future>
#include <thread>

#include "transport/rpc/client.h"
#include "transport/rpc/code.h"
#include "transport/rpc/testing.pb.h"
#include "transport/rpc/within.h"

namespace transport::rpc {
namespace {

namespace testing = strongroom::rpc::testing;
using base::ErrorCode;
using std::chrono::milliseconds;
using testing::AddRequest;
using testing::AddResponse;

const google::protobuf::ServiceDescriptor& calls_service() {
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

AddResponse sum_of(std::int64_t sum) {
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

asio::awaitable<base::Result<AddResponse>> hold(World* world, AddRequest) {
  Leaving leaving(world);
  world->holding.set_value();
  co_await world->released.async_wait(as_values);
  const auto state = co_await asio::this_coro::cancellation_state;
  leaving.finished = state.cancelled() == asio::cancellation_type::none;
  co_return sum_of(1);
}

asio::awaitable<base::Result<void>> count(World* world, AddRequest request,
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

Methods methods_of(World* world) {
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

std::string post(const std::string& method, const std::string& body,
                 const std::string& headers = "Connection: close\r\n") {
  return "POST /strongroom.rpc.testing.Calls/" + method +
         " HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n" + headers +
         "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

TEST_F(ServerTest, AnswersTheClient) {
  start();

  const auto answer = call("Add", pair(2, 40));

  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->sum(), 42);
}

TEST_F(ServerTest, PassesErrorsOnWithTheirCodeAndMessage) {
  start();
  testing::FailRequest request;
  request.set_code("data_loss");

  const auto answer = call("Fail", request);

  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, ErrorCode::kCorrupt);
  EXPECT_EQ(answer.error().message, "as asked");
}

TEST_F(ServerTest, AnswersCurlInJson) {
  start();

  EXPECT_EQ(curl("Add", R"(--json '{"a":"9223372036854775806","b":1}')"),
            R"({"sum":"9223372036854775807"} 200)");
  EXPECT_EQ(curl("Fail", R"(--json '{"code":"not_found"}')"),
            R"({"code":"not_found","message":"as asked"} 404)");
  EXPECT_EQ(curl("Add", R"(--get --data-urlencode 'message={"a":1}' --data encoding=json)"),
            R"({"sum":"1"} 200)");
}

TEST_F(ServerTest, AnswersCurlThatWaitsForLeaveToSendItsBody) {
  start();

  EXPECT_EQ(
      curl("Add", R"(--json '{"a":1}' --header 'Expect: 100-continue' --expect100-timeout 60)"),
      R"({"sum":"1"} 200)");
}

TEST_F(ServerTest, TellsCurlWhatIsWrong) {
  start();

  EXPECT_EQ(curl("Add", "--data x").substr(0, 51),
            R"({"code":"unknown","message":"content type \"applica)");
  EXPECT_TRUE(curl("Add", "--data x").ends_with(" 415"));
  EXPECT_TRUE(curl("Nothing", "--json '{}'").ends_with(" 404"));
  EXPECT_TRUE(curl("Add", "--request PUT").ends_with(" 405"));
  EXPECT_TRUE(curl("Change", "--get --data encoding=json").ends_with(" 405"));
  EXPECT_TRUE(curl("Add", "--json '{\"a\"'").ends_with(" 400"));
  EXPECT_TRUE(curl("Add", "--json '{}' --header 'Content-Encoding: br'").ends_with(" 501"));
}

TEST_F(ServerTest, KeepsAConnectionForMoreRequests) {
  start();

  const auto answer = exchange(post("Change", "{}", "") + post("Change", "{}"));

  EXPECT_NE(answer.find(R"({"sum":"1"})"), std::string::npos);
  EXPECT_NE(answer.find(R"({"sum":"2"})"), std::string::npos);
}

TEST_F(ServerTest, KeepsTheConnectionAfterARefusedRequest) {
  start();

  const auto answer = exchange(post("Add", "{", "") + post("Change", "{}"));

  EXPECT_NE(answer.find("400 Bad Request"), std::string::npos);
  EXPECT_NE(answer.find(R"({"sum":"1"})"), std::string::npos);
}

// The body of a request that was refused for its header must not be taken for the next request.
TEST_F(ServerTest, ClosesTheConnectionWhenItLeavesABodyUnread) {
  start();
  auto hidden = post("Change", "{}");
  auto refused = post("Nothing", hidden, "");

  const auto answer = exchange(refused);

  EXPECT_EQ(answer.substr(0, 12), "HTTP/1.1 404");
  EXPECT_EQ(answer.find("200 OK"), std::string::npos);
  EXPECT_EQ(world_.changes, 0);
}

TEST_F(ServerTest, RefusesWhatIsNoHttp) {
  start();

  EXPECT_EQ(exchange("\x16\x03\x01 hello\r\n\r\n").substr(0, 12), "HTTP/1.1 400");
}

TEST_F(ServerTest, RefusesAnEndlessHeader) {
  start();

  const auto answer = exchange("GET / HTTP/1.1\r\nX: " + std::string(17'000, 'x'));

  EXPECT_EQ(answer.substr(0, 12), "HTTP/1.1 431");
}

TEST_F(ServerTest, RefusesABodyOverTheLimitBeforeItArrives) {
  start({.max_request_bytes = 1000});

  const auto answer = exchange(
      "POST /strongroom.rpc.testing.Calls/Add HTTP/1.1\r\nContent-Type: application/json\r\n"
      "Content-Length: 1000000\r\n\r\n");

  EXPECT_EQ(answer.substr(0, 12), "HTTP/1.1 429");
  EXPECT_NE(answer.find("resource_exhausted"), std::string::npos);
}

TEST_F(ServerTest, RefusesAChunkedBodyThatGrowsOverTheLimit) {
  start({.max_request_bytes = 1000});
  std::string request =
      "POST /strongroom.rpc.testing.Calls/Add HTTP/1.1\r\nContent-Type: application/json\r\n"
      "Transfer-Encoding: chunked\r\n\r\n";
  for (int i = 0; i < 11; ++i) {
    request += "64\r\n" + std::string(100, 'x') + "\r\n";
  }

  EXPECT_EQ(exchange(request).substr(0, 12), "HTTP/1.1 429");
}

TEST_F(ServerTest, GivesUpOnHalfAHeader) {
  start({.idle_limit = milliseconds(50)});

  EXPECT_EQ(exchange("POST /strongroom").substr(0, 12), "HTTP/1.1 408");
}

TEST_F(ServerTest, GivesUpOnHalfABody) {
  start({.body_limit = milliseconds(50)});
  auto request = post("Add", R"({"a":1})");
  request.pop_back();

  const auto answer = exchange(request);

  EXPECT_EQ(answer.substr(0, 12), "HTTP/1.1 504");
  EXPECT_NE(answer.find("did not arrive in time"), std::string::npos);
}

TEST_F(ServerTest, DropsAnIdleConnectionWithoutAWord) {
  start({.idle_limit = milliseconds(50)});

  EXPECT_EQ(exchange(""), "");
}

TEST_F(ServerTest, ServesOthersBesideManyIdleConnections) {
  start({.max_connections = 300});
  std::vector<int> idle(250);
  for (auto& raw : idle) {
    raw = connect();
  }

  EXPECT_TRUE(call("Add", pair(1, 1)));

  for (const int raw : idle) {
    close(raw);
  }
}

TEST_F(ServerTest, ClosesTheMostSilentCallerForAnother) {
  start({.max_connections = 2});
  const auto request = post("Add", "{}", "");
  const int first = connect();
  const int second = connect();
  for (const int raw : {second, first}) {
    send(raw, request.data(), request.size(), MSG_NOSIGNAL);
    EXPECT_EQ(read_some(raw).substr(0, 12), "HTTP/1.1 200");
  }

  EXPECT_TRUE(call("Add", pair(1, 1)));

  EXPECT_EQ(read_all(second), "");
  send(first, request.data(), request.size(), MSG_NOSIGNAL);
  EXPECT_EQ(read_some(first).substr(0, 12), "HTTP/1.1 200");
  close(first);
  close(second);
}

TEST_F(ServerTest, LetsCallersWaitWhileAllItsConnectionsAreInCalls) {
  start({.max_connections = 1});
  const int first = connect();
  const auto held = post("Hold", "{}", "");
  send(first, held.data(), held.size(), MSG_NOSIGNAL);
  world_.holding.get_future().get();
  auto second = std::async(std::launch::async, [this] { return call("Add", pair(1, 1)); });
  EXPECT_EQ(second.wait_for(milliseconds(150)), std::future_status::timeout);

  // Its connection stays, so that its place is free only because it is idle.
  asio::post(io_, [this] { world_.released.cancel(); });

  EXPECT_EQ(read_some(first).substr(0, 12), "HTTP/1.1 200");
  EXPECT_TRUE(second.get());
  close(first);
}

TEST_F(ServerTest, EndsACallAtTheCallersDeadline) {
  start();

  const auto answer =
      exchange(post("Hold", "{}", "Connect-Timeout-Ms: 50\r\nConnection: close\r\n"));

  EXPECT_NE(answer.find("deadline_exceeded"), std::string::npos);
  world_.cancelled.get_future().get();
}

TEST_F(ServerTest, EndsACallAtItsOwnLimitWhenTheCallerNamesALongerOne) {
  start({.longest_call = milliseconds(50)});

  const auto answer =
      exchange(post("Hold", "{}", "Connect-Timeout-Ms: 9999999999\r\nConnection: close\r\n"));

  EXPECT_NE(answer.find("deadline_exceeded"), std::string::npos);
}

TEST_F(ServerTest, CancelsTheCallOfACallerWhoHangsUp) {
  start();
  const int raw = connect();
  const auto request = post("Hold", "{}");
  send(raw, request.data(), request.size(), MSG_NOSIGNAL);

  close(raw);

  world_.cancelled.get_future().get();
}

TEST_F(ServerTest, DoesNotTakeTheNextRequestForAHangUp) {
  start();
  const int raw = connect();
  const auto first = post("Hold", "{}", "");
  send(raw, first.data(), first.size(), MSG_NOSIGNAL);
  world_.holding.get_future().get();
  const auto second = post("Change", "{}");
  send(raw, second.data(), second.size(), MSG_NOSIGNAL);
  ASSERT_EQ(call("Release", pair(0, 0))->sum(), 1);

  const auto answers = read_all(raw);

  EXPECT_EQ(answers.find("HTTP/1.1 200"), 0U);
  EXPECT_NE(answers.rfind("HTTP/1.1 200"), 0U);
  close(raw);
}

TEST_F(ServerTest, RefusesAStrangerWhateverTheyAsk) {
  start({}, {getuid() + 1, {}});
  if (getuid() == 0) {
    // This thread alone is somebody else while it connects: the system call, unlike the function of
    // that name in the C library, changes one thread.
    std::filesystem::permissions(folder_, std::filesystem::perms::all);
    std::filesystem::permissions(path_, std::filesystem::perms::all);
    ASSERT_EQ(syscall(SYS_setresuid, -1, 65534, -1), 0);
  }
  const auto answer = call("Add", pair(1, 1));
  if (getuid() == 0) {
    ASSERT_EQ(syscall(SYS_setresuid, -1, 0, -1), 0);
  }

  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, ErrorCode::kDenied);
  EXPECT_NE(answer.error().message.find("may not call this service"), std::string::npos);
}

TEST_F(ServerTest, StreamsToTheClient) {
  start();
  std::vector<std::int64_t> seen;

  const auto ended =
      run(client().watch<AddResponse>("Count", pair(3, 6), [&](const AddResponse& next) {
        seen.push_back(next.sum());
        return true;
      }));

  EXPECT_TRUE(ended);
  EXPECT_EQ(seen, (std::vector<std::int64_t>{3, 4, 5}));
}

TEST_F(ServerTest, EndsAStreamWithTheHandlersError) {
  start();
  int seen = 0;

  const auto ended = run(client().watch<AddResponse>("Count", pair(-1, 0), [&](const AddResponse&) {
    ++seen;
    return true;
  }));

  ASSERT_FALSE(ended);
  EXPECT_EQ(ended.error().code, ErrorCode::kDenied);
  EXPECT_EQ(ended.error().message, "below zero");
  EXPECT_EQ(seen, 1);
}

TEST_F(ServerTest, EndsAStreamWhenTheCallerHasSeenEnough) {
  start();
  std::int64_t last = 0;

  const auto ended =
      run(client().watch<AddResponse>("Count", pair(0, 0), [&](const AddResponse& next) {
        last = next.sum();
        return last < 100;
      }));

  EXPECT_TRUE(ended);
  EXPECT_EQ(last, 100);
  world_.cancelled.get_future().get();
}

TEST_F(ServerTest, EndsAStreamAtTheCallersDeadline) {
  start();

  const auto ended = run(client().watch<AddResponse>(
      "Count", pair(0, 0), [](const AddResponse&) { return true; }, milliseconds(50)));

  ASSERT_FALSE(ended);
  EXPECT_EQ(ended.error().code, ErrorCode::kUnavailable);
}

TEST_F(ServerTest, DropsAStreamWhoseCallerDoesNotRead) {
  start({.write_limit = milliseconds(50)});
  const int raw = connect();
  const std::string body = std::string("\0\0\0\0\2{}", 7);
  const auto request =
      "POST /strongroom.rpc.testing.Calls/Count HTTP/1.1\r\nContent-Type: "
      "application/connect+json\r\n"
      "Content-Length: 7\r\n\r\n" +
      body;
  send(raw, request.data(), request.size(), MSG_NOSIGNAL);

  world_.cancelled.get_future().get();
  close(raw);
}

TEST_F(ServerTest, SpeaksTheStreamThatTheProtocolDescribes) {
  start();
  const std::string body = std::string("\0\0\0\0\x0a{\"b\":\"1\" }", 15);

  const auto answer = exchange(
      "POST /strongroom.rpc.testing.Calls/Count HTTP/1.1\r\nContent-Type: "
      "application/connect+json\r\n"
      "Connection: close\r\nContent-Length: 15\r\n\r\n" +
      body);

  EXPECT_EQ(answer.substr(0, 15), "HTTP/1.1 200 OK");
  EXPECT_NE(answer.find("Content-Type: application/connect+json\r\n"), std::string::npos);
  EXPECT_NE(answer.find("Transfer-Encoding: chunked\r\n"), std::string::npos);
  EXPECT_TRUE(answer.ends_with(
      std::string("\r\n\r\n7\r\n\0\0\0\0\2{}\r\n7\r\n\2\0\0\0\2{}\r\n0\r\n\r\n", 33)));
}

TEST_F(ServerTest, FinishesCallsWhenItStops) {
  start();
  auto held = std::async(std::launch::async, [this] { return call("Hold", pair(0, 0)); });
  world_.holding.get_future().get();

  auto stopped = asio::co_spawn(io_, server_->stop(std::chrono::hours(1)), asio::use_future);
  asio::post(io_, [this] { world_.released.cancel(); });

  stopped.get();
  EXPECT_TRUE(held.get());
}

TEST_F(ServerTest, CancelsCallsThatOutlastTheGraceWhenItStops) {
  start();
  auto held = std::async(std::launch::async, [this] { return call("Hold", pair(0, 0)); });
  world_.holding.get_future().get();

  stop(milliseconds(20));

  const auto answer = held.get();
  ASSERT_FALSE(answer);
  EXPECT_NE(answer.error().message.find("the service is stopping"), std::string::npos);
  EXPECT_EQ(server_->connections(), 0U);
}

TEST_F(ServerTest, EndsStreamsAndIdleConnectionsAtOnceWhenItStops) {
  start();
  const int idle = connect();
  std::promise<void> streaming;
  bool first = true;
  auto stream = std::async(std::launch::async, [&] {
    return run(client().watch<AddResponse>("Count", pair(0, 0), [&](const AddResponse&) {
      if (std::exchange(first, false)) {
        streaming.set_value();
      }
      return true;
    }));
  });
  streaming.get_future().get();

  stop(std::chrono::hours(1));

  EXPECT_EQ(read_all(idle), "");
  close(idle);
  EXPECT_FALSE(stream.get());
}

TEST_F(ServerTest, TellsTheClientThatThereIsNoService) {
  const auto answer = call("Add", pair(1, 1));

  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, ErrorCode::kUnavailable);
  EXPECT_NE(answer.error().message.find(path_.string()), std::string::npos);
}

}  // namespace
}  // namespace transport::rpc
