// SPDX-License-Identifier: Apache-2.0
#include "transport/rpc/server.h"

#include <sys/syscall.h>

#include "transport/rpc/server_fixture.h"

namespace transport::rpc {
namespace {

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

}  // namespace
}  // namespace transport::rpc
