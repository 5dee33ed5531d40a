// SPDX-License-Identifier: Apache-2.0
#include "transport/tpm_socket/simulator_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "tests/support/socket_client.h"
#include "tests/support/temp_folder.h"
#include "transport/net/unix_listener.h"
#include "transport/tpm_socket/fake_simulator_handler.h"

namespace transport::tpm_socket {
namespace {

using testing::ElementsAre;
using tests::support::SocketClient;
using tests::support::TempFolder;

class SimulatorServerTest : public testing::Test {
 protected:
  void start(SimulatorLimits limits = {}) {
    auto commands = net::UnixListener::bind(folder_ / "commands");
    auto platform = net::UnixListener::bind(folder_ / "platform");
    ASSERT_TRUE(commands && platform);
    server_ = *SimulatorServer::start(handler_, commands->release(), platform->release(), limits);
    commands_.emplace(*std::move(commands));
    platform_.emplace(*std::move(platform));
  }

  SocketClient commands() { return SocketClient::connect(folder_ / "commands"); }

  SocketClient platform() { return SocketClient::connect(folder_ / "platform"); }

  TempFolder folder_;
  FakeSimulatorHandler handler_;
  std::optional<net::UnixListener> commands_;
  std::optional<net::UnixListener> platform_;
  std::unique_ptr<SimulatorServer> server_;
};

TEST_F(SimulatorServerTest, ServesBothPortsAtOnce) {
  start();
  auto on_platform = platform();
  auto on_commands = commands();

  EXPECT_EQ(on_platform.exchange("00000001", 4), "00000000");
  EXPECT_EQ(on_commands.exchange("00000008"
                                 "00"
                                 "0000000a"
                                 "80010000000a00000181",
                                 28),
            "00000014"
            "80010000000000000000"
            "80010000000a00000181"
            "00000000");
  EXPECT_EQ(on_platform.exchange("0000000b", 4), "00000000");
}

TEST_F(SimulatorServerTest, ServesSeveralClients) {
  start();
  std::vector<SocketClient> clients;
  for (int i = 0; i < 5; ++i) {
    clients.push_back(platform());
  }
  for (auto& client : clients) {
    EXPECT_EQ(client.exchange("0000000b", 4), "00000000");
  }
}

TEST_F(SimulatorServerTest, HangsUpOnAClientThatSaysItGoes) {
  start();
  auto client = platform();
  client.send_hex("00000014");
  EXPECT_TRUE(client.closed_by_peer());
}

TEST_F(SimulatorServerTest, HangsUpOnAClientThatLeftTheProtocol) {
  start();
  auto client = commands();
  client.send_hex(
      "00000008"
      "00"
      "ffffffff");
  EXPECT_TRUE(client.closed_by_peer());
  EXPECT_EQ(platform().exchange("0000000b", 4), "00000000");
}

TEST_F(SimulatorServerTest, HangsUpOnHalfARequestWithoutTheRest) {
  start({.silence = std::chrono::milliseconds(20)});
  auto whole = platform();
  EXPECT_EQ(whole.exchange("0000000b", 4), "00000000");
  auto half = platform();
  half.send_hex("0000");

  EXPECT_TRUE(half.closed_by_peer());
  EXPECT_EQ(whole.exchange("0000000b", 4), "00000000");
}

TEST_F(SimulatorServerTest, LetsTheMostSilentClientMakeRoom) {
  start({.connections = 2});
  auto first = platform();
  EXPECT_EQ(first.exchange("0000000b", 4), "00000000");
  auto second = platform();
  EXPECT_EQ(second.exchange("0000000b", 4), "00000000");
  EXPECT_EQ(first.exchange("0000000b", 4), "00000000");

  auto third = platform();

  EXPECT_EQ(third.exchange("0000000b", 4), "00000000");
  EXPECT_TRUE(second.closed_by_peer());
  EXPECT_EQ(first.exchange("0000000b", 4), "00000000");
}

TEST_F(SimulatorServerTest, HangsUpAsItEndsAndTakesCancelsBack) {
  start();
  auto client = platform();
  EXPECT_EQ(client.exchange("00000009", 4), "00000000");

  server_.reset();

  EXPECT_TRUE(client.closed_by_peer());
  EXPECT_THAT(handler_.asked(), ElementsAre("cancel on", "cancel off"));
}

}  // namespace
}  // namespace transport::tpm_socket
