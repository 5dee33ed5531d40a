// SPDX-License-Identifier: Apache-2.0
#include "transport/tpm_socket/data_server.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <condition_variable>
#include <cstdio>
#include <ctime>
#include <string>

#include "tests/support/error_code.h"
#include "tests/support/memory_scan.h"
#include "tests/support/socket_client.h"
#include "tests/support/temp_folder.h"
#include "transport/net/unix_listener.h"

namespace transport::tpm_socket {
namespace {

using base::ErrorCode;
using tests::support::error_code;
using tests::support::socket_pair;
using tests::support::SocketClient;
using tests::support::TempFolder;
using tests::support::TpmClient;

const std::string kCommand = "80010000000c0000017b0010";

// A TPM response that holds what the command was.
class EchoHandler final : public CommandHandler {
 public:
  base::Bytes run(std::span<std::byte> command, DataRoad road,
                  std::optional<std::uint8_t> locality) override {
    const std::lock_guard lock(mutex_);
    ran_.push_back(std::string(road == DataRoad::kPassed ? "passed" : "listener") +
                   (locality ? " " + std::to_string(*locality) : "") + " " + base::to_hex(command));
    changed_.notify_all();
    auto response = *base::from_hex("800100000000");
    response.insert(response.end(), command.begin(), command.end());
    response.resize(std::max(response.size(), at_least_));
    response[4] = static_cast<std::byte>(response.size() >> 8);
    response[5] = static_cast<std::byte>(response.size());
    return response;
  }

  void rest() override {
    const std::lock_guard lock(mutex_);
    ++rests_;
    changed_.notify_all();
  }

  // How often there was rest, once it was that often.
  std::size_t wait_for_rests(std::size_t count) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, std::chrono::seconds(10), [&] { return rests_ >= count; });
    return rests_;
  }

  std::vector<std::string> ran() {
    const std::lock_guard lock(mutex_);
    return ran_;
  }

  // The commands, once there are that many of them.
  std::vector<std::string> wait_for(std::size_t count) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, std::chrono::seconds(10), [&] { return ran_.size() >= count; });
    return ran_;
  }

  void answer_at_least(std::size_t bytes) {
    const std::lock_guard lock(mutex_);
    at_least_ = bytes;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> ran_;
  std::size_t rests_ = 0;
  std::size_t at_least_ = 10;
};

// For as long as it lives this process gets no new descriptor.
class NoMoreDescriptors {
 public:
  NoMoreDescriptors() {
    ::getrlimit(RLIMIT_NOFILE, &before_);
    const base::Descriptor lowest(::dup(STDERR_FILENO));
    const rlimit none{static_cast<rlim_t>(lowest.number()), before_.rlim_max};
    ::setrlimit(RLIMIT_NOFILE, &none);
  }

  ~NoMoreDescriptors() { ::setrlimit(RLIMIT_NOFILE, &before_); }

  NoMoreDescriptors(const NoMoreDescriptors&) = delete;
  NoMoreDescriptors& operator=(const NoMoreDescriptors&) = delete;

 private:
  rlimit before_{};
};

std::chrono::nanoseconds used_processor_time() {
  timespec used{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
  return std::chrono::seconds(used.tv_sec) + std::chrono::nanoseconds(used.tv_nsec);
}

class DataServerTest : public testing::Test {
 protected:
  void SetUp() override { start(DataLimits{}); }

  void start(DataLimits limits) {
    server_.reset();
    listener_.reset();
    listener_.emplace(*net::UnixListener::bind(folder_ / "data"));
    auto server = DataServer::start(handler_, listener_->release(), limits);
    ASSERT_TRUE(server) << server.error().message;
    server_ = *std::move(server);
  }

  TpmClient connect() { return TpmClient(SocketClient::connect(folder_ / "data")); }

  // The hypervisor's end of a channel that was passed.
  TpmClient pass_channel() {
    auto [ours, theirs] = socket_pair();
    const auto adopted = server_->adopt(std::move(theirs));
    EXPECT_TRUE(adopted) << adopted.error().message;
    return TpmClient(std::move(ours));
  }

  std::string run(TpmClient& client, const std::string& command) {
    return base::to_hex(client.run(*base::from_hex(command)));
  }

  TempFolder folder_;
  EchoHandler handler_;
  std::optional<net::UnixListener> listener_;
  std::unique_ptr<DataServer> server_;
};

TEST_F(DataServerTest, AnswersOnAPassedChannel) {
  auto client = pass_channel();

  EXPECT_EQ(run(client, kCommand), "800100000012" + kCommand);
  EXPECT_EQ(run(client, kCommand), "800100000012" + kCommand);
  EXPECT_THAT(handler_.ran(), testing::Each("passed " + kCommand));
}

TEST_F(DataServerTest, RestsOnceAfterItsStartAndOnceAfterCommands) {
  start({.until_rest = std::chrono::milliseconds(1)});
  EXPECT_EQ(handler_.wait_for_rests(1), 1U);
  auto client = connect();

  for (std::size_t rests = 2; rests < 5; ++rests) {
    EXPECT_EQ(run(client, kCommand), "800100000012" + kCommand);
    EXPECT_EQ(handler_.wait_for_rests(rests), rests);
  }
}

TEST_F(DataServerTest, DoesNotRestBeforeItsTime) {
  start({.until_rest = std::chrono::hours(1)});
  auto client = connect();

  EXPECT_EQ(run(client, kCommand), "800100000012" + kCommand);
  EXPECT_EQ(run(client, kCommand), "800100000012" + kCommand);

  EXPECT_EQ(handler_.wait_for_rests(0), 0U);
}

TEST_F(DataServerTest, AnswersSeveralClientsOfItsListener) {
  auto one = connect();
  auto other = connect();

  EXPECT_EQ(run(one, kCommand), "800100000012" + kCommand);
  EXPECT_EQ(run(other, kCommand), "800100000012" + kCommand);
  EXPECT_EQ(run(one, kCommand), "800100000012" + kCommand);
  EXPECT_THAT(handler_.ran(), testing::Each("listener " + kCommand));
}

// tcti-swtpm opens a new connection for every command.
TEST_F(DataServerTest, AnswersAClientThatConnectsForEachCommand) {
  for (int i = 0; i < 100; ++i) {
    auto client = connect();
    EXPECT_EQ(run(client, kCommand), "800100000012" + kCommand);
  }
}

TEST_F(DataServerTest, WrapsTheResponseToACommandWithAPrefix) {
  auto client = connect();
  client.send_hex(
      "00000008"
      "03"
      "0000000c" +
      kCommand);

  EXPECT_EQ(base::to_hex(client.receive(4 + 18 + 4)),
            "00000012"
            "800100000012" +
                kCommand + "00000000");
  EXPECT_THAT(handler_.ran(), testing::ElementsAre("listener 3 " + kCommand));
}

// Cloud Hypervisor reads a response with a single call.
TEST_F(DataServerTest, AnswersInOneWrite) {
  handler_.answer_at_least(4096);
  auto client = connect();
  for (int i = 0; i < 200; ++i) {
    client.send_hex(
        "00000008"
        "00"
        "0000000c" +
        kCommand);
    ASSERT_EQ(client.receive_once().size(), 4U + 4096U + 4U) << i;
  }
}

TEST_F(DataServerTest, PutsACommandTogetherFromItsPieces) {
  auto client = pass_channel();
  for (std::size_t i = 0; i < kCommand.size(); i += 2) {
    client.send_hex(kCommand.substr(i, 2));
  }

  EXPECT_EQ(base::to_hex(client.response()), "800100000012" + kCommand);
}

TEST_F(DataServerTest, AnswersCommandsThatWereSentTogetherInTheirOrder) {
  auto client = pass_channel();
  const std::string other = "80010000000a00000181";
  client.send_hex(kCommand + other + kCommand);

  EXPECT_EQ(base::to_hex(client.response()), "800100000012" + kCommand);
  EXPECT_EQ(base::to_hex(client.response()), "800100000010" + other);
  EXPECT_EQ(base::to_hex(client.response()), "800100000012" + kCommand);
}

TEST_F(DataServerTest, HandsAnOversizedCommandOverAndGoesOn) {
  auto client = pass_channel();

  EXPECT_EQ(run(client, "8001000010010000017b"),
            "800100000010"
            "8001000010010000017b");
  EXPECT_EQ(run(client, kCommand), "800100000012" + kCommand);
}

// No hypervisor sends the next command before it has the response to this one.
TEST_F(DataServerTest, AnswersAnOversizedCommandOfAHypervisorOnce) {
  auto client = pass_channel();
  base::Bytes oversized(9000);
  oversized[4] = std::byte{9000 >> 8};
  oversized[5] = std::byte{9000 & 0xff};

  EXPECT_EQ(client.run(oversized).size(), 6U + kMaxCommandBytes);
  EXPECT_EQ(run(client, kCommand), "800100000012" + kCommand);
  EXPECT_EQ(handler_.ran().size(), 2U);
}

TEST_F(DataServerTest, RunsNothingOutOfTheMiddleOfAnOversizedCommand) {
  base::Bytes oversized(kMaxFrameBytes);
  oversized[2] = std::byte{0xff};
  const auto hidden = *base::from_hex(kCommand);
  oversized.insert(oversized.end(), hidden.begin(), hidden.end());
  auto hypervisor = pass_channel();
  EXPECT_EQ(hypervisor.run(oversized).size(), 6U + kMaxCommandBytes);
  auto other = connect();
  EXPECT_EQ(other.run(oversized).size(), 6U + kMaxCommandBytes);
  auto client = connect();
  EXPECT_EQ(run(client, "80010000000a00000181"), "80010000001080010000000a00000181");

  EXPECT_EQ(handler_.ran().size(), 3U);
}

TEST_F(DataServerTest, ClosesAClientThatSentAnOversizedCommand) {
  auto client = connect();
  base::Bytes oversized(9000);
  oversized[2] = std::byte{0xff};

  EXPECT_EQ(client.run(oversized).size(), 6U + kMaxCommandBytes);
  EXPECT_TRUE(client.closed_by_peer());
  EXPECT_EQ(handler_.ran().size(), 1U);
}

TEST_F(DataServerTest, WaitsForADescriptorWhereTheSystemHasNone) {
  base::Descriptor waiting(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  auto hypervisor = pass_channel();
  const auto command = *base::from_hex(kCommand);
  hypervisor.run(command);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::snprintf(address.sun_path, sizeof address.sun_path, "%s", (folder_ / "data").c_str());

  // A sanitizer and a failed expectation need descriptors, so what is seen is judged afterwards.
  std::optional<NoMoreDescriptors> none(std::in_place);
  const int connected =
      ::connect(waiting.number(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
  // This thread sleeps: what time is used is the server's.
  const auto before = used_processor_time();
  pollfd look{waiting.number(), POLLIN, 0};
  const int answered = ::poll(&look, 1, 500);
  const auto used = used_processor_time() - before;
  const auto response = hypervisor.run(command);
  none.reset();

  EXPECT_EQ(connected, 0);
  EXPECT_EQ(answered, 0);
  EXPECT_LT(used.count(), 100'000'000) << "nanoseconds";
  EXPECT_EQ(base::to_hex(response), "800100000012" + kCommand);
  TpmClient client(SocketClient(std::move(waiting)));
  EXPECT_EQ(run(client, kCommand), "800100000012" + kCommand);
}

TEST_F(DataServerTest, HalfACommandHoldsNobodyUp) {
  auto half = pass_channel();
  half.send_hex("8001000000");
  auto other = connect();

  EXPECT_EQ(run(other, kCommand), "800100000012" + kCommand);
}

TEST_F(DataServerTest, RunsWhatIsThereWhenTheRestDoesNotCome) {
  start({.silence = std::chrono::milliseconds(20)});
  auto hypervisor = pass_channel();
  hypervisor.send_hex("80010000000c00");

  EXPECT_EQ(base::to_hex(hypervisor.response()),
            "80010000000d"
            "80010000000c00");
  EXPECT_EQ(run(hypervisor, kCommand), "800100000012" + kCommand) << "its channel stays";
}

TEST_F(DataServerTest, ClosesAClientWhoseRestDoesNotCome) {
  start({.silence = std::chrono::milliseconds(20)});
  auto client = connect();
  client.send_hex("80010000000c00");

  EXPECT_TRUE(client.closed_by_peer());
}

TEST_F(DataServerTest, IsNotKeptBusyByManyIdleClients) {
  std::vector<TpmClient> idle;
  for (int i = 0; i < 200; ++i) {
    idle.push_back(connect());
  }
  auto client = connect();

  EXPECT_EQ(run(client, kCommand), "800100000012" + kCommand);
  EXPECT_TRUE(idle.front().closed_by_peer()) << "the most silent one gave way";
}

TEST_F(DataServerTest, LeavesNoCopyOfACommandOrItsResponseBehind) {
  const auto secret = *base::from_hex("f00dbeef5eedc0de1badcafe0ddba11dab1ec0dafacade58");
  auto client = pass_channel();
  {
    // Far enough back in the command that the next one does not lie over it.
    base::SecretBytes command(1024);
    command.fill()[0] = std::byte{0x80};
    command.fill()[4] = std::byte{1024 >> 8};
    tests::support::write_complement(secret, command.fill().subspan(900, secret.size()));
    EXPECT_GT(tests::support::copies_in_memory(secret), 0U) << "a copy would be found";
    base::SecretBytes response(6 + command.size());
    for (const std::size_t piece : {0U, 1000U}) {
      client.send(command.expose().first(piece));
      client.send(command.expose().subspan(piece));
      ASSERT_EQ(::recv(client.number(), response.fill().data(), response.size(), MSG_WAITALL),
                static_cast<ssize_t>(response.size()));
    }
  }
  EXPECT_EQ(run(client, kCommand), "800100000012" + kCommand);

  EXPECT_EQ(tests::support::copies_in_memory(secret), 0U);
}

TEST_F(DataServerTest, DropsAClientThatDoesNotReadItsResponses) {
  handler_.answer_at_least(4096);
  auto greedy = connect();
  std::string commands;
  for (int i = 0; i < 100; ++i) {
    commands += kCommand;
  }
  for (int i = 0; i < 100; ++i) {
    greedy.fill(*base::from_hex(commands));
  }
  auto client = connect();

  EXPECT_EQ(client.run(*base::from_hex(kCommand)).size(), 4096U);
  EXPECT_TRUE(greedy.closed_by_peer());
}

TEST_F(DataServerTest, TakesOneChannelAtATime) {
  auto first = pass_channel();
  auto [ours, theirs] = socket_pair();

  EXPECT_EQ(error_code(server_->adopt(std::move(theirs))), ErrorCode::kIo);
  EXPECT_TRUE(SocketClient(std::move(ours)).closed_by_peer());
  EXPECT_EQ(run(first, kCommand), "800100000012" + kCommand);
}

TEST_F(DataServerTest, TakesAnotherChannelOnceTheHypervisorHasGone) {
  for (int i = 0; i < 50; ++i) {
    auto client = pass_channel();
    EXPECT_EQ(run(client, kCommand), "800100000012" + kCommand);
  }
}

TEST_F(DataServerTest, RefusesWhatIsNoConnectedStreamSocket) {
  base::Descriptor file(::open("/dev/null", O_RDWR | O_CLOEXEC));
  const int number = file.number();
  EXPECT_EQ(error_code(server_->adopt(std::move(file))), ErrorCode::kInvalidArgument);
  EXPECT_EQ(::fcntl(number, F_GETFD), -1) << "a refused descriptor is closed";

  base::Descriptor datagram(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  EXPECT_EQ(error_code(server_->adopt(std::move(datagram))), ErrorCode::kInvalidArgument);

  auto listener = net::UnixListener::bind(folder_ / "other");
  EXPECT_EQ(error_code(server_->adopt(listener->release())), ErrorCode::kInvalidArgument);

  base::Descriptor unconnected(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  EXPECT_EQ(error_code(server_->adopt(std::move(unconnected))), ErrorCode::kInvalidArgument);
}

TEST_F(DataServerTest, ClosesEveryChannelAtItsEnd) {
  auto hypervisor = pass_channel();
  auto client = connect();
  run(client, kCommand);

  server_.reset();

  EXPECT_TRUE(hypervisor.closed_by_peer());
  EXPECT_TRUE(client.closed_by_peer());
}

// To another server, as another process would have one.

TEST_F(DataServerTest, ReadsNothingWhileItIsSuspended) {
  auto client = pass_channel();
  ASSERT_EQ(run(client, kCommand), "800100000012" + kCommand);

  server_->suspend();
  client.send_hex(kCommand);
  ASSERT_TRUE(server_->channels());

  EXPECT_EQ(handler_.ran().size(), 1U);
  server_->go_on();
  EXPECT_EQ(base::to_hex(client.response()), "800100000012" + kCommand);
}

TEST_F(DataServerTest, EndsWhileItIsSuspended) {
  server_->suspend();
  server_.reset();
}

TEST_F(DataServerTest, HandsItsChannelsOverWithWhatHasCome) {
  auto passed = pass_channel();
  ASSERT_EQ(run(passed, kCommand), "800100000012" + kCommand);
  auto client = connect();
  ASSERT_EQ(run(client, kCommand), "800100000012" + kCommand);
  // Half a command, of which the server knows once it has answered another client.
  passed.send_hex(kCommand.substr(0, 8));
  ASSERT_EQ(run(client, kCommand), "800100000012" + kCommand);
  server_->suspend();
  auto channels = server_->channels();
  ASSERT_TRUE(channels);
  ASSERT_EQ(channels->size(), 2U);
  // What comes now is for the other.
  client.send_hex(kCommand);
  passed.send_hex(kCommand.substr(8));
  server_.reset();
  const auto before = handler_.ran().size();

  auto other = DataServer::start(handler_, base::Descriptor(), {}, *std::move(channels));

  ASSERT_TRUE(other);
  EXPECT_EQ(base::to_hex(passed.response()), "800100000012" + kCommand);
  EXPECT_EQ(base::to_hex(client.response()), "800100000012" + kCommand);
  EXPECT_EQ(handler_.ran().size(), before + 2);
  EXPECT_THAT(handler_.ran(), testing::Contains("passed " + kCommand));
  // The hypervisor still has the one channel that it can have.
  auto [ours, theirs] = socket_pair();
  EXPECT_EQ(error_code((*other)->adopt(std::move(theirs))), ErrorCode::kIo);
}

}  // namespace
}  // namespace transport::tpm_socket
