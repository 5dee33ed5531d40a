// SPDX-License-Identifier: Apache-2.0
#include "transport/rpc/server_fixture.h"

namespace transport::rpc {
namespace {

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
