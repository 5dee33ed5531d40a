// SPDX-License-Identifier: Apache-2.0
#include "transport/tpm_socket/control_server.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <boost/asio/post.hpp>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <deque>
#include <future>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/memory_scan.h"
#include "tests/support/socket_client.h"
#include "tests/support/temp_folder.h"
#include "transport/net/unix_listener.h"
#include "transport/tpm_socket/fake_control_handler.h"

namespace transport::tpm_socket {
namespace {

using tests::support::socket_pair;
using tests::support::SocketClient;
using tests::support::TempFolder;

const std::string kStop = "0000000e";
const std::string kSuccess = "00000000";

// What the server's thread tells, in order.
class Queue {
 public:
  void push(bool value) {
    const std::lock_guard lock(mutex_);
    values_.push_back(value);
    changed_.notify_all();
  }

  // The next one, or nothing within ten seconds.
  std::optional<bool> pop() {
    std::unique_lock lock(mutex_);
    if (!changed_.wait_for(lock, std::chrono::seconds(10), [this] { return !values_.empty(); })) {
      return std::nullopt;
    }
    const bool value = values_.front();
    values_.pop_front();
    return value;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<bool> values_;
};

class ControlServerTest : public testing::Test {
 protected:
  void SetUp() override { start(ControlLimits{}); }

  void TearDown() override { finish(); }

  void start(ControlLimits limits) {
    finish();
    io_.emplace();
    listener_.emplace(*net::UnixListener::bind(folder_ / "control"));
    server_.emplace(*io_, listener_->release(), handler_, limits,
                    ControlEvents{.shut_down = [this] { shut_down_.set_value(); },
                                  .hypervisor = [this](bool there) { hypervisors_.push(there); }});
    thread_ = std::thread([this] { io_->run(); });
  }

  // After this the handler may be looked at.
  void finish() {
    if (thread_.joinable()) {
      io_->stop();
      thread_.join();
    }
    server_.reset();
    io_.reset();
    listener_.reset();
  }

  SocketClient connect() { return SocketClient::connect(folder_ / "control"); }

  // A client that has handed a data channel over.
  SocketClient connect_hypervisor() {
    auto client = connect();
    const auto [ours, theirs] = socket_pair();
    client.send_with(*base::from_hex("00000010"), {theirs.number()});
    EXPECT_EQ(base::to_hex(client.receive(4)), kSuccess);
    return client;
  }

  TempFolder folder_;
  FakeControlHandler handler_;
  std::optional<boost::asio::io_context> io_;
  std::optional<net::UnixListener> listener_;
  std::optional<ControlServer> server_;
  std::promise<void> shut_down_;
  Queue hypervisors_;
  std::thread thread_;
};

TEST_F(ControlServerTest, AnswersSeveralClientsAtOnce) {
  auto one = connect();
  auto other = connect();

  EXPECT_EQ(one.exchange(kStop, 4), kSuccess);
  EXPECT_EQ(other.exchange("00000001", 8), "000000000001ffff");
  EXPECT_EQ(one.exchange(kStop, 4), kSuccess);
}

TEST_F(ControlServerTest, HandsADescriptorOver) {
  connect_hypervisor();
  finish();

  EXPECT_TRUE(handler_.channel.is_open());
}

TEST_F(ControlServerTest, ClosesDescriptorsThatItRefuses) {
  std::array<int, 2> ends{};
  ASSERT_EQ(::pipe(ends.data()), 0);
  const base::Descriptor reader(ends[0]);
  base::Descriptor writer(ends[1]);
  auto client = connect();

  client.send_with(*base::from_hex("00000010"), std::vector<int>(3, writer.number()));
  EXPECT_EQ(base::to_hex(client.receive(4)), "00000003");
  client.send_with(*base::from_hex(kStop), {writer.number()});
  EXPECT_EQ(base::to_hex(client.receive(4)), kSuccess);

  writer = base::Descriptor();
  char byte = 0;
  EXPECT_EQ(::read(reader.number(), &byte, 1), 0) << "the server still has the other end";
}

TEST_F(ControlServerTest, HalfARequestHoldsNobodyUp) {
  auto half = connect();
  half.send_hex(
      "00000002"
      "00");
  auto other = connect();

  EXPECT_EQ(other.exchange(kStop, 4), kSuccess);
  EXPECT_EQ(half.exchange("000000", 4), kSuccess) << "the rest may still come";
}

TEST_F(ControlServerTest, ClosesAClientWhoseRestDoesNotCome) {
  start({.silence = std::chrono::milliseconds(20)});
  auto half = connect();
  half.send_hex(
      "00000002"
      "00");

  EXPECT_TRUE(half.closed_by_peer());
}

TEST_F(ControlServerTest, WaitsForTheRestOfAHypervisorsRequest) {
  start({.silence = std::chrono::milliseconds(20)});
  auto hypervisor = connect_hypervisor();
  hypervisor.send_hex(
      "00000002"
      "00");
  auto half = connect();
  half.send_hex(
      "00000002"
      "00");
  ASSERT_TRUE(half.closed_by_peer());

  EXPECT_EQ(hypervisor.exchange("000000", 4), kSuccess);
}

TEST_F(ControlServerTest, DoesNotCloseASilentClientBetweenRequests) {
  start({.silence = std::chrono::milliseconds(20)});
  auto silent = connect();
  EXPECT_EQ(silent.exchange("0000000502", 4), kSuccess);
  silent.send_hex("000000");  // QEMU's padding, late
  auto half = connect();
  half.send_hex("00");
  ASSERT_TRUE(half.closed_by_peer());

  EXPECT_EQ(silent.exchange(kStop, 4), kSuccess);
}

TEST_F(ControlServerTest, ManyIdleClientsKeepNoHypervisorOut) {
  std::vector<SocketClient> idle;
  for (int i = 0; i < 200; ++i) {
    idle.push_back(connect());
  }
  auto hypervisor = connect_hypervisor();
  for (int i = 0; i < 200; ++i) {
    idle.push_back(connect());
  }

  EXPECT_EQ(connect().exchange(kStop, 4), kSuccess);
  EXPECT_EQ(hypervisor.exchange(kStop, 4), kSuccess) << "and none is dropped";
  EXPECT_TRUE(idle.front().closed_by_peer());
}

TEST_F(ControlServerTest, AFloodOfOneClientHoldsNobodyUp) {
  auto flood = connect();
  std::string requests;
  for (int i = 0; i < 1000; ++i) {
    requests += kStop;
  }
  flood.fill(*base::from_hex(requests));
  auto other = connect();

  EXPECT_EQ(other.exchange("0000000f", 8), "0000000000000000");
}

TEST_F(ControlServerTest, GivesALargeAnswerToAClientThatReadsSlowly) {
  handler_.blob = base::Bytes(400'000, std::byte{0x5a});
  auto client = connect();
  client.send_hex("0000000c000000010000000200000000");
  auto other = connect();
  EXPECT_EQ(other.exchange(kStop, 4), kSuccess);

  EXPECT_EQ(client.receive(16 + 400'000).size(), 16U + 400'000U);
}

TEST_F(ControlServerTest, ClosesAClientThatDoesNotReadItsAnswer) {
  handler_.blob = base::Bytes(500'000, std::byte{0x5a});
  start({.silence = std::chrono::milliseconds(20)});
  auto client = connect();
  client.send_hex("0000000c000000010000000200000000");
  // While it reads nothing, another one is closed for its silence later than this one.
  auto half = connect();
  EXPECT_EQ(half.exchange(kStop, 4), kSuccess);
  half.send_hex("00");
  ASSERT_TRUE(half.closed_by_peer());

  EXPECT_LT(client.receive(16 + 500'000).size(), 16U + 500'000U);
}

TEST_F(ControlServerTest, LeavesNoCopyOfAStateBlobBehind) {
  const auto secret = *base::from_hex("f00dbeef5eedc0de1badcafe0ddba11dab1ec0dafacade57");
  auto client = connect();
  {
    // It is refused for its type, so nobody has a right to a copy.
    auto request = base::SecretBytes::taking(*base::from_hex("0000000d000000000000000900000019ff"));
    base::SecretBytes blob(secret.size());
    tests::support::write_complement(secret, blob.fill());
    EXPECT_GT(tests::support::copies_in_memory(secret), 0U) << "a copy would be found";
    client.send(request.expose());
    client.send(blob.expose());
  }
  EXPECT_EQ(base::to_hex(client.receive(4)), "00000003");
  EXPECT_EQ(client.exchange(kStop, 4), kSuccess);

  EXPECT_EQ(tests::support::copies_in_memory(secret), 0U);
}

TEST_F(ControlServerTest, EndsAfterItAnsweredAShutdown) {
  auto client = connect();

  EXPECT_EQ(client.exchange("00000003", 4), kSuccess);
  EXPECT_EQ(shut_down_.get_future().wait_for(std::chrono::seconds(10)), std::future_status::ready);
  EXPECT_TRUE(client.closed_by_peer());
}

TEST_F(ControlServerTest, TellsWhenAHypervisorComesAndGoes) {
  auto other = connect();
  EXPECT_EQ(other.exchange(kStop, 4), kSuccess);
  other.close();
  auto hypervisor = connect_hypervisor();
  EXPECT_EQ(hypervisors_.pop(), true);

  hypervisor.close();

  EXPECT_EQ(hypervisors_.pop(), false);
}

TEST_F(ControlServerTest, KeepsItsClientsWhenItTakesNoMore) {
  auto hypervisor = connect_hypervisor();
  boost::asio::post(*io_, [this] { server_->stop_accepting(); });
  EXPECT_EQ(hypervisor.exchange(kStop, 4), kSuccess);
  EXPECT_EQ(hypervisor.exchange(kStop, 4), kSuccess);

  base::Descriptor late(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::snprintf(address.sun_path, sizeof address.sun_path, "%s", (folder_ / "control").c_str());
  EXPECT_NE(::connect(late.number(), reinterpret_cast<const sockaddr*>(&address), sizeof address),
            0);
}

TEST_F(ControlServerTest, ClosesEveryClientAtItsEnd) {
  auto client = connect();
  EXPECT_EQ(client.exchange(kStop, 4), kSuccess);

  finish();

  EXPECT_TRUE(client.closed_by_peer());
}

// To another server, as another process would have one.

class ControlSuccessionTest : public ControlServerTest {
 protected:
  // on_thread() runs `work` on the server's thread and gives what it gives.
  template <typename Work>
  auto on_thread(Work work) {
    std::packaged_task<decltype(work())()> task(std::move(work));
    auto done = task.get_future();
    boost::asio::post(*io_, std::move(task));
    return done.get();
  }

  base::Result<std::vector<ControlServer::Client>> clients() {
    return on_thread([this] { return server_->clients(); });
  }

  // Who has an answer is at rest only once the server has seen that it went out: clients(), asked
  // again while it says that somebody is not, for ten seconds.
  base::Result<std::vector<ControlServer::Client>> clients_at_rest() {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    auto all = clients();
    while (!all && all.error().code == base::ErrorCode::kUnavailable &&
           std::chrono::steady_clock::now() < end) {
      all = clients();
    }
    return all;
  }

  // another_goes_on_with() is a server that nobody has connected to.
  void another_goes_on_with(std::vector<ControlServer::Client> clients) {
    start(ControlLimits{});
    on_thread([&] {
      for (auto& client : clients) {
        server_->serve(std::move(client));
      }
      return 0;
    });
  }
};

TEST_F(ControlSuccessionTest, GoesOnWithEveryClientAndKnowsTheHypervisor) {
  auto hypervisor = connect_hypervisor();
  auto client = connect();
  ASSERT_EQ(client.exchange(kStop, 4), kSuccess);
  ASSERT_EQ(hypervisors_.pop(), true);

  auto handed = clients_at_rest();

  ASSERT_TRUE(handed) << handed.error().message;
  ASSERT_EQ(handed->size(), 2U);
  another_goes_on_with(*std::move(handed));
  EXPECT_EQ(hypervisors_.pop(), true);
  EXPECT_EQ(hypervisor.exchange(kStop, 4), kSuccess);
  EXPECT_EQ(client.exchange(kStop, 4), kSuccess);
  hypervisor.close();
  EXPECT_EQ(hypervisors_.pop(), false);
}

// QEMU sends three bytes more than a locality has; they may come later.
TEST_F(ControlSuccessionTest, GoesOnInTheMiddleOfARequestAndOfItsPadding) {
  auto half = connect();
  half.send_hex("000000");
  auto padded = connect();
  ASSERT_EQ(padded.exchange("0000000502", 4), kSuccess);
  // What was sent is there once a later client has its answer.
  ASSERT_EQ(connect().exchange(kStop, 4), kSuccess);

  auto handed = clients_at_rest();

  ASSERT_TRUE(handed) << handed.error().message;
  another_goes_on_with(*std::move(handed));
  EXPECT_EQ(half.exchange("0e", 4), kSuccess);
  EXPECT_EQ(padded.exchange("000000" + kStop, 4), kSuccess);
}

TEST_F(ControlSuccessionTest, StaysWhileDataOfARequestIsToCome) {
  auto client = connect();
  // SET_STATEBLOB of eight bytes, and two of them.
  client.send_hex(
      "0000000d"
      "00000000"
      "00000001"
      "00000008"
      "aabb");
  ASSERT_EQ(connect().exchange(kStop, 4), kSuccess);

  const auto handed = clients();

  ASSERT_FALSE(handed);
  EXPECT_EQ(handed.error().code, base::ErrorCode::kUnavailable);
  EXPECT_EQ(client.exchange("ccddeeff0011", 4), kSuccess);
}

TEST_F(ControlSuccessionTest, AcceptsAgainWhereItHadStopped) {
  const auto path = folder_ / "again";
  auto other = net::UnixListener::bind(path);
  ASSERT_TRUE(other);
  on_thread([&] {
    server_->stop_accepting();
    server_->accept_at(other->release());
    return 0;
  });

  auto client = SocketClient::connect(path);

  EXPECT_EQ(client.exchange(kStop, 4), kSuccess);
}

}  // namespace
}  // namespace transport::tpm_socket
