// SPDX-License-Identifier: Apache-2.0
#include "tests/integration/instance_case.h"
#include "tests/support/socket_client.h"

namespace tests::integration {
namespace {

using support::SocketClient;

// What leaves and enters through the hypervisor, and what it and its guest may send.
using InstanceStateTest = InstanceTest;
using InstanceAbuseTest = InstanceTest;

TEST_F(InstanceStateTest, MovesToAnotherInstance) {
  Instance source(folder_.path(), stored_in_the_open());
  auto hypervisor = boot(source);
  ASSERT_EQ(run(hypervisor, tpm::nv_define(kIndex, 64)), tpm::kSuccess);
  ASSERT_EQ(run(hypervisor, tpm::nv_write(kIndex, data_of(5))), tpm::kSuccess);
  ASSERT_EQ(run(hypervisor, tpm::pcr_extend(16, kDigest)), tpm::kSuccess);
  const auto pcr = tpm::pcr_value(send(hypervisor, tpm::pcr_read(16)));
  const auto permanent = *hypervisor.get_state_blob(1);
  const auto transient = *hypervisor.get_state_blob(2);
  EXPECT_FALSE(hypervisor.get_state_blob(3));
  EXPECT_EQ(run(hypervisor, tpm::get_random(8)), tpm::kSuccess) << "the source goes on";

  const TempFolder elsewhere;
  {
    Instance destination(elsewhere.path(), {"--vmgs", elsewhere / "vm.vmgs", "--create",
                                            "--incoming", "--state-blobs", "plain"});
    auto qemu = *Hypervisor::connect(destination.control());
    ASSERT_EQ(*qemu.set_data_descriptor(), 0U);
    EXPECT_FALSE(std::filesystem::exists(elsewhere / "vm.vmgs")) << "nothing before the state";
    EXPECT_NE(*qemu.init(), 0U) << "and no TPM either";
    ASSERT_EQ(*qemu.set_state_blob(1, permanent), 0U);
    ASSERT_EQ(*qemu.set_state_blob(2, transient), 0U);
    ASSERT_EQ(*qemu.init(1), 0U) << destination.log();
    EXPECT_EQ(tpm::pcr_value(send(qemu, tpm::pcr_read(16))), pcr);
    EXPECT_EQ(nv(qemu), data_of(5));
    EXPECT_EQ(*qemu.result(Control::kShutdown), 0U);
    EXPECT_EQ(destination.wait(), 0);
  }
  Instance later(elsewhere.path(), {"--vmgs", elsewhere / "vm.vmgs"});
  auto qemu = boot(later);
  EXPECT_EQ(nv(qemu), data_of(5));
}

TEST_F(InstanceStateTest, StaysWhereNobodySaidHowItLeaves) {
  Instance instance(folder_.path(), stored());
  auto hypervisor = boot(instance);

  EXPECT_FALSE(hypervisor.get_state_blob(1));

  EXPECT_THAT(instance.log(), testing::HasSubstr("state blobs are plain"));
  Instance incoming(folder_.path(), {"--vmgs", folder_ / "new.vmgs", "--create", "--incoming"});
  EXPECT_EQ(incoming.wait(), 2);
  EXPECT_THAT(incoming.log(), testing::HasSubstr("--state-blobs plain"));
}

TEST_F(InstanceStateTest, TwoResumesOfOneSnapshotDrawDifferentNumbers) {
  Instance instance(folder_.path(), stored_in_the_open());
  auto hypervisor = boot(instance);
  const auto permanent = *hypervisor.get_state_blob(1);
  const auto transient = *hypervisor.get_state_blob(2);
  std::vector<std::string> drawn;
  for (int resume = 0; resume < 2; ++resume) {
    ASSERT_EQ(*hypervisor.result(Control::kStop), 0U);
    ASSERT_EQ(*hypervisor.set_state_blob(1, permanent), 0U);
    ASSERT_EQ(*hypervisor.set_state_blob(2, transient), 0U);
    ASSERT_EQ(*hypervisor.init(1), 0U);
    drawn.push_back(base::to_hex(tpm::random_data(send(hypervisor, tpm::get_random(32)))));
  }
  EXPECT_NE(drawn[0], drawn[1]);
}

TEST_F(InstanceStateTest, GoesOnFromAStoredVolatileStateOnce) {
  std::string pcr;
  for (int start = 0; start < 3; ++start) {
    Instance instance(folder_.path(), stored());
    auto hypervisor = attach(instance);
    if (start == 0) {
      ASSERT_EQ(run(hypervisor, tpm::startup_clear()), tpm::kSuccess);
      ASSERT_EQ(run(hypervisor, tpm::pcr_extend(16, kDigest)), tpm::kSuccess);
      pcr = base::to_hex(tpm::pcr_value(send(hypervisor, tpm::pcr_read(16))));
      ASSERT_EQ(*hypervisor.result(Control::kStoreVolatile), 0U);
    } else if (start == 1) {
      EXPECT_EQ(base::to_hex(tpm::pcr_value(send(hypervisor, tpm::pcr_read(16)))), pcr);
    } else {
      EXPECT_EQ(run(hypervisor, tpm::startup_clear()), tpm::kSuccess);
      EXPECT_NE(base::to_hex(tpm::pcr_value(send(hypervisor, tpm::pcr_read(16)))), pcr);
    }
    instance.process().kill();
  }
}

TEST_F(InstanceStateTest, StaysInsideInAParavisor) {
  auto options = stored();
  options.insert(options.end(), {"--home", "paravisor"});
  Instance instance(folder_.path(), options);
  auto hypervisor = boot(instance);

  EXPECT_EQ(base::to_hex(*hypervisor.control(Control::kGetCapability, {}, 8)), "000000000001fcff");
  auto client = SocketClient::connect(instance.control());
  EXPECT_EQ(client.exchange("0000000c000000010000000100000000", 16),
            "0000000a000000000000000000000000");
  EXPECT_EQ(client.exchange("0000000e", 4), "00000000");
  EXPECT_EQ(client.exchange("0000000d000000000000000100000002beef", 4), "0000000a");
}

// Abuse.

TEST_F(InstanceAbuseTest, HalfRequestsAndHalfCommandsHoldNobodyUp) {
  auto options = stored();
  options.insert(options.end(), {"--data", folder_ / "data"});
  Instance instance(folder_.path(), options);
  auto half_request = SocketClient::connect(instance.control());
  half_request.send_hex(
      "00000002"
      "00");
  auto half_command = SocketClient::connect(instance.data());
  half_command.send_hex("80010000000c");
  auto half_blob = SocketClient::connect(instance.control());
  half_blob.send_hex(
      "0000000d"
      "00000000"
      "00000001"
      "00080000"
      "ff");

  auto hypervisor = boot(instance);

  EXPECT_EQ(run(hypervisor, tpm::get_random(8)), tpm::kSuccess);
  EXPECT_TRUE(half_request.closed_by_peer());
  EXPECT_TRUE(half_blob.closed_by_peer());
  // A half command gets its answer from the TPM, which finds it too short.
  EXPECT_EQ(base::to_hex(half_command.receive(10)).substr(0, 4), "8001");
}

TEST_F(InstanceAbuseTest, AnOversizedCommandIsAnsweredAndForgotten) {
  Instance instance(folder_.path(), stored());
  auto hypervisor = boot(instance);
  base::Bytes oversized(4096);
  oversized[0] = std::byte{0x80};
  oversized[1] = std::byte{0x01};
  oversized[2] = std::byte{0x01};

  EXPECT_EQ(run(hypervisor, oversized), tpm::kCommandSize);
  EXPECT_EQ(run(hypervisor, tpm::get_random(8)), tpm::kSuccess);
}

TEST_F(InstanceAbuseTest, CommandsWithBadSizesAreAnswered) {
  Instance instance(folder_.path(), stored());
  auto hypervisor = boot(instance);

  for (const char* command : {"800100000003", "80010000000900000144", "8001ffffffff0000017b0010"}) {
    EXPECT_NE(run(hypervisor, *base::from_hex(command)), tpm::kSuccess) << command;
    EXPECT_EQ(run(hypervisor, tpm::get_random(8)), tpm::kSuccess) << command;
  }
}

TEST_F(InstanceAbuseTest, ManyIdleClientsKeepNoHypervisorOut) {
  Instance instance(folder_.path(), stored());
  std::vector<SocketClient> idle;
  for (int i = 0; i < 200; ++i) {
    idle.push_back(SocketClient::connect(instance.control()));
  }
  auto hypervisor = boot(instance);
  for (int i = 0; i < 200; ++i) {
    idle.push_back(SocketClient::connect(instance.control()));
  }

  EXPECT_EQ(SocketClient::connect(instance.control()).exchange("0000000f", 8), "0000000000000000");
  EXPECT_EQ(run(hypervisor, tpm::get_random(8)), tpm::kSuccess);
  EXPECT_EQ(*hypervisor.set_locality(1), 0U) << "and none is dropped";
}

TEST_F(InstanceAbuseTest, AFloodHoldsNobodyUp) {
  auto options = stored();
  options.insert(options.end(), {"--data", folder_ / "data"});
  Instance instance(folder_.path(), options);
  auto flood_of_requests = SocketClient::connect(instance.control());
  auto flood_of_commands = SocketClient::connect(instance.data());
  std::string requests;
  std::string commands;
  for (int i = 0; i < 1000; ++i) {
    requests += "0000000e";
    commands += "80010000000c0000017b0010";
  }
  flood_of_requests.fill(*base::from_hex(requests));
  flood_of_commands.fill(*base::from_hex(commands));

  auto hypervisor = attach(instance);

  EXPECT_TRUE(hypervisor.command(tpm::get_random(8)));
}

TEST_F(InstanceAbuseTest, AGarbageBlobLeavesTheTpmAsItWas) {
  Instance instance(folder_.path(), stored_in_the_open());
  auto hypervisor = boot(instance);
  ASSERT_EQ(run(hypervisor, tpm::nv_define(kIndex, 64)), tpm::kSuccess);
  ASSERT_EQ(run(hypervisor, tpm::nv_write(kIndex, data_of(7))), tpm::kSuccess);
  ASSERT_EQ(*hypervisor.result(Control::kStop), 0U);

  for (const std::size_t size : {std::size_t{1}, std::size_t{1300}, std::size_t{524288}}) {
    EXPECT_NE(*hypervisor.set_state_blob(1, base::Bytes(size, std::byte{0x5a})), 0U) << size;
  }
  EXPECT_EQ(*hypervisor.set_state_blob(1, base::Bytes(524289)), 23U);

  ASSERT_EQ(*hypervisor.init(), 0U);
  ASSERT_EQ(run(hypervisor, tpm::startup_clear()), tpm::kSuccess);
  EXPECT_EQ(nv(hypervisor), data_of(7));
}

}  // namespace
}  // namespace tests::integration
