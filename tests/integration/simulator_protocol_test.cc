// SPDX-License-Identifier: Apache-2.0
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "tests/integration/instance.h"
#include "tests/support/socket_client.h"
#include "tests/support/temp_folder.h"
#include "tests/support/tpm_commands.h"
#include "transport/tpm_socket/simulator_request.h"
#include "vmgs/base/cursor.h"

namespace tests::integration {
namespace {

using support::response_code;
using support::SocketClient;
using support::TempFolder;
using Signal = transport::tpm_socket::SimulatorCode;
namespace tpm = support;

constexpr std::uint32_t kPhysicalPresenceMissing = 0x990;  // TPM_RC_PP, of session 1
constexpr std::uint32_t kIndex = 0x01500016;

SocketClient connect(std::uint16_t port) {
  base::Descriptor socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(::connect(socket.number(), reinterpret_cast<const sockaddr*>(&address), sizeof address),
            0)
      << "port " << port;
  return SocketClient(std::move(socket));
}

base::Bytes request(Signal signal) {
  base::Writer out;
  out.u32_be(static_cast<std::uint32_t>(signal));
  return std::move(out).take();
}

class SimulatorProtocolTest : public testing::Test {
 protected:
  SimulatorProtocolTest()
      : instance_(folder_.path(), {"--vmgs", folder_ / "vm.vmgs", "--create", "--mssim", "0"}),
        commands_(connect(port())),
        platform_(connect(static_cast<std::uint16_t>(port() + 1))) {}

  std::uint16_t port() {
    const auto log = instance_.log();
    const std::string before = "port ";
    const auto found = log.find(before);
    EXPECT_NE(found, std::string::npos) << log;
    return static_cast<std::uint16_t>(std::stoi(log.substr(found + before.size())));
  }

  // The result of a request to the platform, or of one without a body to the commands' port.
  static std::uint32_t ask(SocketClient& client, Signal signal) {
    client.send(request(signal));
    return base::Reader(client.receive(4)).u32_be().value_or(~0U);
  }

  std::uint32_t signal(Signal signal) { return ask(platform_, signal); }

  base::Bytes send(const base::Bytes& command, std::uint8_t locality = 0) {
    base::Writer out;
    out.u32_be(static_cast<std::uint32_t>(Signal::kSendCommand));
    out.u8(locality);
    out.u32_be(static_cast<std::uint32_t>(command.size()));
    out.bytes(command);
    commands_.send(out.written());
    const auto size = base::Reader(commands_.receive(4)).u32_be().value_or(0);
    auto response = commands_.receive(size);
    EXPECT_EQ(base::to_hex(commands_.receive(4)), "00000000");
    return response;
  }

  std::uint32_t run(const base::Bytes& command, std::uint8_t locality = 0) {
    return response_code(send(command, locality));
  }

  void power_on() {
    ASSERT_EQ(signal(Signal::kPowerOn), 0U);
    ASSERT_EQ(signal(Signal::kNvOn), 0U);
    ASSERT_EQ(run(tpm::startup_clear()), tpm::kSuccess);
  }

  TempFolder folder_;
  Instance instance_;
  SocketClient commands_;
  SocketClient platform_;
};

TEST_F(SimulatorProtocolTest, HasNoResponsesBeforeItsPowerIsOn) {
  EXPECT_EQ(send(tpm::get_random(8)).size(), 0U);
  ASSERT_EQ(signal(Signal::kPowerOn), 0U);
  EXPECT_EQ(run(tpm::get_random(8)), tpm::kInitialize);
  EXPECT_EQ(run(tpm::startup_clear()), tpm::kSuccess);
  EXPECT_EQ(tpm::random_data(send(tpm::get_random(8))).size(), 8U);

  EXPECT_EQ(signal(Signal::kPowerOff), 0U);
  EXPECT_EQ(send(tpm::get_random(8)).size(), 0U);
}

TEST_F(SimulatorProtocolTest, KeepsARunningTpmWhereItsPowerIsTurnedOnAgain) {
  power_on();
  EXPECT_EQ(signal(Signal::kPowerOn), 0U);
  EXPECT_EQ(run(tpm::get_random(8)), tpm::kSuccess);

  EXPECT_EQ(signal(Signal::kReset), 0U);
  EXPECT_EQ(run(tpm::get_random(8)), tpm::kInitialize);
}

TEST_F(SimulatorProtocolTest, KeepsWhatItAcknowledged) {
  power_on();
  ASSERT_EQ(run(tpm::nv_define(kIndex, 4)), tpm::kSuccess);
  ASSERT_EQ(run(tpm::nv_write(kIndex, base::Bytes(4, std::byte{7}))), tpm::kSuccess);
  EXPECT_EQ(signal(Signal::kReset), 0U);
  ASSERT_EQ(run(tpm::startup_clear()), tpm::kSuccess);
  EXPECT_EQ(tpm::nv_data(send(tpm::nv_read(kIndex, 4))), base::Bytes(4, std::byte{7}));
}

TEST_F(SimulatorProtocolTest, RunsACommandAtTheLocalityThatItNames) {
  power_on();
  // PCR 20 is extended from locality 1 to 3.
  const std::array<std::byte, 32> digest = {std::byte{0x5a}};
  EXPECT_EQ(run(tpm::pcr_extend(20, digest), 0), tpm::kLocality);
  EXPECT_EQ(run(tpm::pcr_extend(20, digest), 3), tpm::kSuccess);
  EXPECT_EQ(run(tpm::pcr_extend(20, digest), 5), tpm::kLocality);
}

TEST_F(SimulatorProtocolTest, MeasuresADynamicRootOfTrust) {
  power_on();
  EXPECT_EQ(ask(commands_, Signal::kHashStart), 0U);
  auto data = request(Signal::kHashData);
  const auto abc = *base::from_hex("00000003616263");
  data.insert(data.end(), abc.begin(), abc.end());
  commands_.send(data);
  EXPECT_EQ(base::to_hex(commands_.receive(4)), "00000000");
  EXPECT_EQ(ask(commands_, Signal::kHashEnd), 0U);

  // SHA-256 of 32 zero bytes and of SHA-256("abc").
  EXPECT_EQ(base::to_hex(tpm::pcr_value(send(tpm::pcr_read(17)))),
            "589f9ffed4c477966bfb8d41f37895b08c69047df8f911d6f3b57fbe08faee8d");
  // There is no sequence to go on with.
  EXPECT_EQ(ask(commands_, Signal::kHashEnd), 1U);
}

TEST_F(SimulatorProtocolTest, AssertsPhysicalPresence) {
  power_on();
  // TPM2_PP_Commands by the platform's empty password, with no command in either list.
  const auto pp_commands = *base::from_hex(
      "8002000000230000012d4000000c"
      "00000009"
      "40000009"
      "0000"
      "00"
      "0000"
      "00000000"
      "00000000");
  EXPECT_EQ(run(pp_commands), kPhysicalPresenceMissing);
  EXPECT_EQ(signal(Signal::kPhysicalPresenceOn), 0U);
  EXPECT_EQ(run(pp_commands), tpm::kSuccess);
  EXPECT_EQ(signal(Signal::kPhysicalPresenceOff), 0U);
  EXPECT_EQ(run(pp_commands), kPhysicalPresenceMissing);
}

TEST_F(SimulatorProtocolTest, CancelsWhateverComesUntilItIsTakenBack) {
  power_on();
  EXPECT_EQ(signal(Signal::kCancelOn), 0U);
  // Prime numbers of this size are looked for far longer than it takes to cancel.
  EXPECT_EQ(run(tpm::create_primary_rsa(2048, 1)), tpm::kCanceled);
  EXPECT_EQ(run(tpm::create_primary_rsa(2048, 2)), tpm::kCanceled);
  EXPECT_EQ(run(tpm::get_random(8)), tpm::kSuccess);

  EXPECT_EQ(signal(Signal::kCancelOff), 0U);
  EXPECT_EQ(run(tpm::create_primary_ecc()), tpm::kSuccess);
}

TEST_F(SimulatorProtocolTest, FailsWhenItIsAskedToAndRecoversWithItsPower) {
  EXPECT_EQ(signal(Signal::kTestFailureMode), 1U);
  power_on();
  ASSERT_EQ(run(tpm::nv_define(kIndex, 4)), tpm::kSuccess);

  EXPECT_EQ(signal(Signal::kTestFailureMode), 0U);
  EXPECT_EQ(run(tpm::get_random(8)), tpm::kFailure);
  EXPECT_THAT(instance_.log(), testing::HasSubstr("failure mode was asked for"));

  EXPECT_EQ(signal(Signal::kReset), 0U);
  ASSERT_EQ(run(tpm::startup_clear()), tpm::kSuccess);
  EXPECT_EQ(run(tpm::nv_write(kIndex, base::Bytes(4))), tpm::kSuccess);
}

TEST_F(SimulatorProtocolTest, FailsWithItsStartupWhereItHasHadNone) {
  ASSERT_EQ(signal(Signal::kPowerOn), 0U);
  EXPECT_EQ(signal(Signal::kTestFailureMode), 0U);
  EXPECT_EQ(run(tpm::startup_clear()), tpm::kFailure);
}

TEST_F(SimulatorProtocolTest, TellsTheLargestSizes) {
  power_on();
  ASSERT_EQ(signal(Signal::kReset), 0U);
  platform_.send(request(Signal::kGetCommandResponseSizes));
  ASSERT_EQ(platform_.receive(24).size(), 24U);
  ASSERT_EQ(run(tpm::startup_clear()), tpm::kSuccess);
  send(tpm::get_random(32));

  platform_.send(request(Signal::kGetCommandResponseSizes));
  // 12 bytes of GetRandom, its code, and 44 bytes of its response, a success.
  EXPECT_EQ(base::to_hex(platform_.receive(24)),
            "00000010"
            "0c000000"
            "00000144"
            "2c000000"
            "00000000"
            "00000000");
}

TEST_F(SimulatorProtocolTest, StopsInOrder) {
  power_on();
  ASSERT_EQ(run(tpm::nv_define(kIndex, 4)), tpm::kSuccess);
  platform_.send(request(Signal::kStop));
  EXPECT_EQ(instance_.wait(), 0) << instance_.log();
}

TEST(SimulatorPortTest, IsTakenOnlyWithItsNeighbour) {
  const TempFolder folder;
  base::Descriptor taken(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  ASSERT_EQ(::bind(taken.number(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(::listen(taken.number(), 1), 0);
  ASSERT_EQ(::getsockname(taken.number(), reinterpret_cast<sockaddr*>(&address), &size), 0);
  const auto port = ntohs(address.sin_port);

  for (const auto& wanted :
       {std::to_string(port), std::to_string(port - 1), std::string("65535")}) {
    auto process = support::Process::start({VTPM_INSTANCE, "--ctrl", folder / "ctrl", "--vmgs",
                                            folder / "vm.vmgs", "--create", "--mssim", wanted});
    ASSERT_TRUE(process);
    EXPECT_NE(process->wait(std::chrono::seconds(20)).value_or(0), 0) << wanted;
    EXPECT_FALSE(std::filesystem::exists(folder / "vm.vmgs")) << wanted;
  }
}

}  // namespace
}  // namespace tests::integration
