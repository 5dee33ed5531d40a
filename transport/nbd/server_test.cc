// SPDX-License-Identifier: Apache-2.0
#include "transport/nbd/server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <optional>
#include <thread>

#include "tests/support/socket_client.h"
#include "tests/support/temp_folder.h"
#include "transport/nbd/fake_block_export.h"
#include "transport/net/unix_listener.h"

namespace transport::nbd {
namespace {

using testing::ElementsAre;
using tests::support::SocketClient;
using tests::support::TempFolder;

const std::string kGreeting =
    "4e42444d41474943"
    "49484156454f5054"
    "0003";
const std::string kGo =
    "00000003"
    "49484156454f5054"
    "00000007"
    "00000006"
    "00000000"
    "0000";
constexpr std::size_t kGoAnswerBytes = 20 + 12 + 20;
const std::string kReadOne =
    "25609513"
    "0000"
    "0000"
    "0000000000000001"
    "0000000000000000"
    "00000001";
const std::string kWriteOne =
    "25609513"
    "0000"
    "0001"
    "0000000000000001"
    "0000000000000000"
    "00000001"
    "ab";
const std::string kDone =
    "67446698"
    "00000000"
    "0000000000000001";

// As if something were always due.
class TendedExport final : public BlockExport {
 public:
  base::Result<void> begin() override { return under_.begin(); }

  void end() override { under_.end(); }

  [[nodiscard]] std::uint64_t size_bytes() const override { return under_.size_bytes(); }

  base::Result<void> read(std::uint64_t offset, std::span<std::byte> into) override {
    return under_.read(offset, into);
  }

  base::Result<void> write(std::uint64_t offset, base::ByteView bytes) override {
    return under_.write(offset, bytes);
  }

  base::Result<void> flush() override { return under_.flush(); }

  std::optional<Clock::time_point> tend(Clock::time_point now) override {
    ++tended;
    tended.notify_all();
    return now + std::chrono::milliseconds(1);
  }

  std::atomic<int> tended = 0;

 private:
  FakeBlockExport under_{1024 * 1024};
};

class NbdServerTest : public testing::Test {
 protected:
  void start(BlockExport& block_export, ServerLimits limits = {}, net::PeerPolicy policy = {}) {
    auto listener = net::UnixListener::bind(path());
    ASSERT_TRUE(listener);
    auto listening = listener->release();
    listening_ = base::Descriptor(::dup(listening.number()));
    auto server = Server::start(io_, std::move(listening), block_export, policy, limits,
                                [this](bool there) { client_changed(there); });
    ASSERT_TRUE(server);
    listener_.emplace(*std::move(listener));
    server_ = *std::move(server);
    io_thread_ = std::thread([this] { io_.run(); });
  }

  void stop() {
    io_.stop();
    if (io_thread_.joinable()) {
      io_thread_.join();
    }
    server_.reset();
  }

  void TearDown() override { stop(); }

  [[nodiscard]] std::filesystem::path path() const { return folder_.path() / "nbd"; }

  SocketClient connect() { return SocketClient::connect(path()); }

  // A client that has chosen the export.
  SocketClient connect_and_choose() {
    auto client = connect();
    EXPECT_EQ(base::to_hex(client.receive(18)), kGreeting);
    EXPECT_EQ(client.exchange(kGo, kGoAnswerBytes).size(), 2 * kGoAnswerBytes);
    return client;
  }

  void client_changed(bool there) {
    const std::lock_guard lock(mutex_);
    changes_.push_back(there);
    changed_.notify_all();
  }

  bool wait_for_changes(std::size_t count) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(10),
                             [&] { return changes_.size() >= count; });
  }

  TempFolder folder_;
  boost::asio::io_context io_{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_{
      io_.get_executor()};
  FakeBlockExport export_{4096};
  std::optional<net::UnixListener> listener_;
  base::Descriptor listening_;
  std::unique_ptr<Server> server_;
  std::thread io_thread_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<bool> changes_;
};

TEST_F(NbdServerTest, ServesAClientUntilItGoes) {
  start(export_);
  auto client = connect_and_choose();
  EXPECT_EQ(client.exchange(kWriteOne, 16), kDone);
  EXPECT_EQ(client.exchange(kReadOne, 17), kDone + "ab");
  client.close();

  EXPECT_TRUE(wait_for_changes(2));
  stop();
  EXPECT_THAT(export_.events, ElementsAre("begin", "write 0 1", "end"));
  EXPECT_THAT(changes_, ElementsAre(true, false));
}

TEST_F(NbdServerTest, AnswersRequestsThatCameAtOnce) {
  start(export_);
  auto client = connect_and_choose();
  std::string many;
  std::string answers;
  for (int i = 0; i < 1000; ++i) {
    many += kWriteOne;
    answers += kDone;
  }

  EXPECT_EQ(client.exchange(many, 16 * 1000), answers);
}

TEST_F(NbdServerTest, SendsASecondClientAwayAndKeepsTheFirst) {
  start(export_);
  auto first = connect_and_choose();

  auto second = connect();
  EXPECT_TRUE(second.closed_by_peer());
  EXPECT_EQ(first.exchange(kReadOne, 17), kDone + "00");
}

TEST_F(NbdServerTest, TakesAnotherClientAsSoonAsTheFirstHasHungUp) {
  start(export_);
  for (int i = 0; i < 20; ++i) {
    auto client = connect_and_choose();
    // Requests that nobody waits for are still ahead of the hang-up.
    client.send_hex(kWriteOne + kWriteOne);
  }

  EXPECT_EQ(connect_and_choose().exchange(kReadOne, 17), kDone + "ab");
}

TEST_F(NbdServerTest, HangsUpOnAClientThatLeavesTheProtocol) {
  start(export_);
  auto client = connect();
  client.send_hex("ffffffffffffffff");

  EXPECT_TRUE(client.closed_by_peer());
  EXPECT_EQ(connect_and_choose().exchange(kReadOne, 17), kDone + "00");
}

TEST_F(NbdServerTest, HangsUpOnAClientThatChoosesNothingInTime) {
  start(export_, {.handshake = std::chrono::milliseconds(30)});
  auto client = connect();
  client.send_hex("00000003");

  EXPECT_TRUE(client.closed_by_peer());
}

TEST_F(NbdServerTest, LetsAClientThatHasChosenBeSilent) {
  start(export_, {.handshake = std::chrono::milliseconds(30)});
  auto client = connect_and_choose();

  // Half a request, and the rest of it long after the time for a handshake.
  client.send_hex(kReadOne.substr(0, 10));
  pollfd answer{client.number(), POLLIN, 0};
  EXPECT_EQ(::poll(&answer, 1, 150), 0);
  EXPECT_EQ(client.exchange(kReadOne.substr(10), 17), kDone + "00");
}

TEST_F(NbdServerTest, SendsAClientAwayWhereThereIsNothingToExport) {
  export_.fails = "begin";
  start(export_);
  auto client = connect();

  EXPECT_TRUE(client.closed_by_peer());
  stop();
  EXPECT_THAT(export_.events, ElementsAre("begin"));
  EXPECT_TRUE(changes_.empty());
}

TEST_F(NbdServerTest, SendsStrangersAway) {
  if (::geteuid() != 0) {
    GTEST_SKIP() << "only root can become somebody else";
  }
  start(export_);
  ASSERT_EQ(::chmod(folder_.path().c_str(), 0755), 0);
  ASSERT_EQ(::chmod(path().c_str(), 0777), 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const auto name = path().string();
  ASSERT_LT(name.size(), sizeof address.sun_path);
  std::memcpy(address.sun_path, name.data(), name.size());

  const pid_t stranger = ::fork();
  if (stranger == 0) {
    // 0 if it was hung up on before a word was said.
    const bool other = ::setgid(65534) == 0 && ::setuid(65534) == 0;
    const int socket = ::socket(AF_UNIX, SOCK_STREAM, 0);
    char byte = 0;
    const bool connected =
        ::connect(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
    ::_exit(other && connected ? static_cast<int>(::recv(socket, &byte, 1, 0)) : 7);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(stranger, &status, 0), stranger);
  EXPECT_EQ(WEXITSTATUS(status), 0);
  EXPECT_EQ(connect_and_choose().exchange(kReadOne, 17), kDone + "00") << "root is no stranger";
}

TEST_F(NbdServerTest, TendsTheExportWhetherTheClientReadsItsAnswersOrNot) {
  TendedExport tended;
  start(tended);
  auto client = connect_and_choose();
  const std::string read_all =
      "25609513"
      "0000"
      "0000"
      "0000000000000001"
      "0000000000000000"
      "00100000";
  client.send_hex(read_all + read_all + read_all);

  const int before = tended.tended;
  while (tended.tended < before + 20) {
    tended.tended.wait(tended.tended);
  }
  EXPECT_EQ(client.receive(16 + 1024 * 1024).size(), 16u + 1024 * 1024);
  stop();  // before the export goes
}

// A server that another process has in its place. Here that is another export.
class NbdServerSuccessionTest : public NbdServerTest {
 protected:
  // The server as one that serves nobody, on the test's own thread.
  void pause() {
    io_.stop();
    io_thread_.join();
    server_->pause();
  }

  void go_on_elsewhere(BlockExport& block_export, Server::AtRest client) {
    base::Descriptor listener(::dup(listening_.number()));
    io_.restart();
    auto next = Server::start(io_, std::move(listener), block_export, {}, {},
                              [this](bool there) { client_changed(there); });
    ASSERT_TRUE(next);
    ASSERT_TRUE((*next)->adopt(std::move(client)));
    server_.reset();
    server_ = *std::move(next);
    server_->go_on();
    io_thread_ = std::thread([this] { io_.run(); });
  }
};

TEST_F(NbdServerSuccessionTest, LeavesAClientToAnotherInTheMiddleOfARequest) {
  start(export_);
  auto client = connect_and_choose();
  // With the answer the beginning of the write has been read, too.
  EXPECT_EQ(client.exchange(kReadOne + kWriteOne.substr(0, 30), 17), kDone + "00");
  pause();
  auto left = server_->client();
  ASSERT_TRUE(left && *left) << left.error().message;
  FakeBlockExport other(4096);

  go_on_elsewhere(other, **std::move(left));

  EXPECT_EQ(client.exchange(kWriteOne.substr(30), 16), kDone);
  EXPECT_EQ(client.exchange(kReadOne, 17), kDone + "ab");
  EXPECT_TRUE(connect().closed_by_peer()) << "there is a client already";
  client.close();
  EXPECT_TRUE(wait_for_changes(4));
  EXPECT_EQ(connect_and_choose().exchange(kReadOne, 17), kDone + "ab") << "and then another";
  stop();
  EXPECT_THAT(export_.events, ElementsAre("begin", "end"));
  EXPECT_THAT(other.events, ElementsAre("begin", "write 0 1", "end", "begin", "end"));
}

TEST_F(NbdServerSuccessionTest, LeavesTheRestOfAnAnswerToo) {
  FakeBlockExport large(1024 * 1024);
  for (std::size_t i = 0; i < large.bytes.size(); ++i) {
    large.bytes[i] = static_cast<std::byte>(i * i >> 8);
  }
  FakeBlockExport other(1024 * 1024);
  other.bytes = large.bytes;
  start(large);
  auto client = connect_and_choose();
  client.send_hex(
      "25609513"
      "0000"
      "0000"
      "0000000000000001"
      "0000000000000000"
      "00100000" +
      kReadOne);
  EXPECT_EQ(base::to_hex(client.receive(16)), kDone);
  pause();
  auto left = server_->client();
  ASSERT_TRUE(left && *left);
  EXPECT_GT((*left)->unsent.size(), 0U) << "more has gone out than a socket holds";

  go_on_elsewhere(other, **std::move(left));

  EXPECT_EQ(client.receive(large.bytes.size()), large.bytes);
  EXPECT_EQ(base::to_hex(client.receive(17)), kDone + "00");
  stop();
}

TEST_F(NbdServerSuccessionTest, GoesOnWithItsClientWhereNobodyTookIt) {
  start(export_);
  auto client = connect_and_choose();
  EXPECT_EQ(client.exchange(kWriteOne, 16), kDone);
  pause();
  client.send_hex(kReadOne);
  pollfd answer{client.number(), POLLIN, 0};
  EXPECT_EQ(::poll(&answer, 1, 50), 0) << "it is paused";

  server_->go_on();

  EXPECT_EQ(base::to_hex(client.receive(17)), kDone + "ab");
  EXPECT_THAT(changes_, ElementsAre(true));
}

TEST_F(NbdServerSuccessionTest, WaitsForItsFirstClientAgainWhereNobodyTookIt) {
  start(export_);
  pause();
  const auto nobody = server_->client();
  ASSERT_TRUE(nobody);
  EXPECT_FALSE(*nobody);
  io_.restart();

  server_->go_on();

  io_thread_ = std::thread([this] { io_.run(); });
  EXPECT_EQ(connect_and_choose().exchange(kReadOne, 17), kDone + "00");
}

TEST_F(NbdServerSuccessionTest, LeavesNoClientThatIsStillChoosing) {
  start(export_);
  auto client = connect();
  EXPECT_EQ(client.receive(18).size(), 18U);
  pause();

  EXPECT_FALSE(server_->client());

  server_->go_on();
  EXPECT_EQ(client.exchange(kGo, kGoAnswerBytes).size(), 2 * kGoAnswerBytes);
}

TEST_F(NbdServerTest, EndsTheExportWhenTheServerEnds) {
  start(export_);
  auto client = connect_and_choose();

  stop();

  EXPECT_TRUE(client.closed_by_peer());
  EXPECT_THAT(export_.events, ElementsAre("begin", "end"));
}

}  // namespace
}  // namespace transport::nbd
