// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include "tests/integration/instance_case.h"
#include "tests/support/socket_client.h"
#include "vmgs/base/cursor.h"

namespace tests::integration {
namespace {

using support::SocketClient;

// The control channel.
using InstanceControlTest = InstanceTest;

TEST_F(InstanceControlTest, FollowsQemuFromItsStartToItsEnd) {
  Instance instance(folder_.path(), stored_in_the_open());
  auto qemu = *Hypervisor::connect(instance.control());
  ASSERT_EQ(*qemu.set_data_descriptor(), 0U);
  // QEMU finds out the version of the TPM before INIT, by the tag of a failure.
  EXPECT_EQ(base::to_hex(send(qemu, tpm::read_clock())), "80010000000a00000101");
  EXPECT_EQ(base::to_hex(*qemu.control(Control::kGetCapability, {}, 8)), "000000000001ffff");
  const auto size = [&](const char* wanted) {
    return base::to_hex(*qemu.control(Control::kSetBufferSize, *base::from_hex(wanted), 16));
  };
  for (int reset = 0; reset < 2; ++reset) {
    EXPECT_EQ(*qemu.result(Control::kStop), 0U);
    EXPECT_EQ(size("00000000").substr(0, 8), "00000000");
    EXPECT_EQ(*qemu.result(Control::kStop), 0U);
    EXPECT_EQ(size("00000f80"), "0000000000000f8000000af800001000");
    EXPECT_EQ(*qemu.init(), 0U);
    EXPECT_EQ(base::to_hex(*qemu.control(Control::kGetTpmEstablished, {}, 8)), "0000000000000000");
    EXPECT_EQ(*qemu.set_locality(0), 0U);
    EXPECT_EQ(run(qemu, tpm::startup_clear()), tpm::kSuccess);
  }
  EXPECT_EQ(*qemu.result(Control::kShutdown), 0U);
  EXPECT_EQ(instance.wait(), 0);
}

TEST_F(InstanceControlTest, AnswersEveryRequest) {
  Instance instance(folder_.path(), stored_in_the_open());
  auto client = SocketClient::connect(instance.control());
  const std::vector<std::array<std::string, 2>> off = {
      {"00000001", "000000000001ffff"},
      {"0000000f", "0000000000000000"},
      {"000000130000012c", "00000000"},
      {"0000000501000000", "00000000"},
      {"0000000505000000", "0000003d"},
      {"00000004", "0000000a00000000"},
      {"00000006", "0000000a"},
      {"0000000700000002abcd", "0000000a"},
      {"00000008", "0000000a"},
      {"00000009", "0000000a"},
      {"0000000a", "0000000a"},
      {"0000000b04000000", "0000000a"},
      {"0000000c000000010000000100000000", "0000000a000000000000000000000000"},
      {"0000001100001000",
       "00000000000010000000"
       "0af800001000"},
      {"00000010", "00000003"},
      {"000000ff", "0000000a"},
  };
  const std::vector<std::array<std::string, 2>> on = {
      {"0000000200000000", "00000000"},
      {"00000004", "0000000000000000"},
      {"00000006", "00000000"},
      {"0000000700000002abcd", "00000000"},
      {"00000008", "00000000"},
      {"00000004", "0000000001000000"},
      {"0000000b02000000", "0000003d"},
      {"0000000b09000000", "0000003d"},
      {"0000000b04000000", "00000000"},
      {"00000004", "0000000000000000"},
      {"00000009", "00000000"},
      {"0000000a", "00000000"},
      {"0000000c000000010000000300000000", "00000800000000000000000000000000"},
      {"0000000d000000000000000100000002beef", "0000000a"},
      {"0000001100000f80", "0000000a"},
      {"0000001100000000",
       "00000000000010000000"
       "0af800001000"},
      {"0000001200000000000000000000000000000000", "0000000000000003000000037b7d00"},
      {"0000001200000000000000000000000900000000", "00000003"},
      {"0000000e", "00000000"},
      {"0000000e", "00000000"},
      {"0000000d000000000000000100000002beef", "00000009"},
  };
  for (const auto& exchanges : {off, on}) {
    for (const auto& [request, answer] : exchanges) {
      EXPECT_EQ(client.exchange(request, answer.size() / 2), answer) << request;
    }
  }
  EXPECT_FALSE(client.something_to_read());
}

// The same requests to swtpm and to ours: whoever is used to the one finds the other.
TEST_F(InstanceControlTest, AnswersAsSwtpmDoes) {
  Instance instance(folder_.path(), stored_in_the_open());
  const TempFolder theirs;
  auto swtpm = *support::Process::start({"swtpm", "socket", "--tpm2", "--tpmstate",
                                         "dir=" + theirs.path().string(), "--ctrl",
                                         "type=unixio,path=" + (theirs / "ctrl").string()});
  ASSERT_TRUE(support::wait_for_socket(theirs / "ctrl", swtpm, std::chrono::seconds(20)));
  auto reference = SocketClient::connect(theirs / "ctrl");
  auto ours = SocketClient::connect(instance.control());

  struct Exchange {
    const char* request;
    std::size_t answer_bytes;
  };

  const std::vector<Exchange> exchanges = {
      {"0000000f", 8},                                    // GET_CONFIG
      {"0000000503000000", 4},                            // SET_LOCALITY as QEMU sends it
      {"0000000500", 4},                                  // and as others do
      {"0000000505000000", 4},                            // no such locality
      {"00000006", 4},                                    // HASH_START while it is off
      {"00000008", 4},                                    // HASH_END
      {"00000009", 4},                                    // CANCEL_TPM_CMD
      {"0000000a", 4},                                    // STORE_VOLATILE
      {"0000000b04000000", 4},                            // RESET_TPMESTABLISHED
      {"0000000e", 4},                                    // STOP
      {"0000001100000000", 16},                           // SET_BUFFERSIZE asks,
      {"0000001100000001", 16},                           // is clamped
      {"0000001100100000", 16},                           // both ways,
      {"0000001100000f80", 16},                           // and set
      {"00000010", 4},                                    // SET_DATAFD without one
      {"000000ff", 4},                                    // no such request
      {"0000000d000000000000000900000000", 4},            // SET_STATEBLOB of no such type
      {"0000001200000000000000070000000000000000", 238},  // GET_INFO
      {"0000000200000000", 4},                            // INIT
      {"00000004", 8},                                    // GET_TPMESTABLISHED
      {"00000006", 4},                                    // HASH_START
      {"0000000700000002abcd", 4},                        // HASH_DATA
      {"00000008", 4},                                    // HASH_END
      {"00000004", 8},                                    // GET_TPMESTABLISHED
      {"0000000b02000000", 4},                            // RESET_TPMESTABLISHED from 2
      {"0000000b09000000", 4},                            // from nowhere
      {"0000000b04000000", 4},                            // from 4
      {"00000004", 8},                                    // GET_TPMESTABLISHED
      {"00000009", 4},                                    // CANCEL_TPM_CMD
      {"0000001100001000", 4},                            // SET_BUFFERSIZE while it is on
      {"0000000d000000000000000100000000", 4},            // SET_STATEBLOB while it is on
      {"0000000c000000010000000300000000", 16},           // GET_STATEBLOB of a TPM 1.2
      {"0000001200000000000000000000000900000000", 4},    // GET_INFO past its end
      {"0000000a", 4},                                    // STORE_VOLATILE
      {"0000000e", 4},                                    // STOP
      {"0000000200000001", 4},                            // INIT, delete volatile
      {"00000003", 4},                                    // SHUTDOWN
  };
  for (const auto& [request, answer_bytes] : exchanges) {
    const auto expected = reference.exchange(request, answer_bytes);
    EXPECT_EQ(expected.size(), 2 * answer_bytes) << request << ": " << expected;
    EXPECT_EQ(ours.exchange(request, answer_bytes), expected) << request;
  }
}

TEST_F(InstanceControlTest, CancelsAKeyGenerationThatIsRunning) {
  Instance instance(folder_.path(), stored());
  auto hypervisor = boot(instance);
  auto other = *Hypervisor::connect(instance.control());

  ASSERT_TRUE(hypervisor.send_command(tpm::create_primary_rsa(3072, 1)));
  SocketClient data{base::Descriptor(::dup(hypervisor.data_descriptor()))};
  while (!data.something_to_read()) {
    ASSERT_EQ(*other.result(Control::kCancelTpmCommand), 0U);
  }

  EXPECT_EQ(response_code(*hypervisor.read_response()), tpm::kCanceled);
  EXPECT_EQ(run(hypervisor, tpm::get_random(8)), tpm::kSuccess);
}

TEST_F(InstanceControlTest, StopsDuringAKeyGeneration) {
  Instance instance(folder_.path(), stored());
  auto hypervisor = boot(instance);
  ASSERT_TRUE(hypervisor.send_command(tpm::create_primary_rsa(3072, 2)));

  EXPECT_EQ(*hypervisor.result(Control::kStop), 0U);

  EXPECT_THAT(response_code(*hypervisor.read_response()),
              testing::AnyOf(tpm::kCanceled, tpm::kFailure));
}

TEST_F(InstanceControlTest, RunsCommandsAtTheLocalityOfThePlatform) {
  Instance instance(folder_.path(), stored());
  auto hypervisor = boot(instance);

  EXPECT_EQ(run(hypervisor, tpm::pcr_extend(18, kDigest)), tpm::kLocality);
  ASSERT_EQ(*hypervisor.set_locality(3), 0U);
  EXPECT_EQ(run(hypervisor, tpm::pcr_extend(18, kDigest)), tpm::kSuccess);
  ASSERT_EQ(*hypervisor.set_locality(5), 61U);
  EXPECT_EQ(run(hypervisor, tpm::pcr_extend(18, kDigest)), tpm::kSuccess) << "the old one stays";
}

TEST_F(InstanceControlTest, BelievesALocalityOnItsDataSocketOnly) {
  auto options = stored();
  options.insert(options.end(), {"--data", folder_ / "data"});
  Instance instance(folder_.path(), options);
  auto hypervisor = boot(instance);
  base::Writer prefixed;
  const auto command = tpm::pcr_extend(18, kDigest);
  prefixed.u32_be(8);
  prefixed.u8(3);
  prefixed.u32_be(static_cast<std::uint32_t>(command.size()));
  prefixed.bytes(command);

  SocketClient guest{base::Descriptor(::dup(hypervisor.data_descriptor()))};
  guest.send(prefixed.written());
  EXPECT_EQ(base::to_hex(guest.receive(18)),
            "0000000a"
            "80010000000a00000907"
            "00000000");
  auto client = SocketClient::connect(instance.data());
  client.send(prefixed.written());
  EXPECT_EQ(base::to_hex(client.receive(4 + 10)).substr(20), "00000000");
}

}  // namespace
}  // namespace tests::integration
