// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include <boost/json.hpp>
#include <memory>
#include <random>
#include <thread>

#include "tests/integration/instance.h"
#include "tests/support/command.h"
#include "tests/support/hypervisor.h"
#include "tests/support/nbd_client.h"
#include "tests/support/temp_folder.h"
#include "tests/support/tpm_commands.h"

namespace tests::integration {
namespace {

using support::Control;
using support::Hypervisor;
using support::NbdClient;
using support::TempFolder;
using testing::HasSubstr;
using testing::Optional;
namespace tpm = support;

constexpr std::uint64_t kFlashBytes = 540672;
constexpr std::size_t kSectorBytes = 512;
constexpr std::uint32_t kIoError = 5;

base::Bytes sector(std::uint8_t value) { return base::Bytes(kSectorBytes, std::byte{value}); }

// A VM whose firmware keeps its variables in the instance: as QEMU uses them, and as they lie in
// the store afterwards.
class VariablesTest : public testing::Test {
 protected:
  [[nodiscard]] std::vector<std::string> options(std::vector<std::string> more = {}) const {
    more.insert(more.begin(), {"--vmgs", folder_ / "vm.vmgs", "--create", "--nbd", socket()});
    return more;
  }

  [[nodiscard]] std::string socket() const { return folder_ / "vars"; }

  NbdClient use(const Instance& instance) const {
    auto client = NbdClient::connect(socket());
    EXPECT_TRUE(client) << instance.log();
    return *std::move(client);
  }

  // The image as the next start finds it, empty if there is none.
  base::Bytes stored() const {
    const auto read = vmgs({"read", folder_ / "vm.vmgs", "UEFI_FLASH"});
    return read.status == 0 ? base::copy_of(base::bytes_of(read.out)) : base::Bytes();
  }

  support::Ran vmgs(std::vector<std::string> arguments) const {
    arguments.insert(arguments.begin(), VMGS_TOOL);
    arguments.insert(arguments.end(), {"--key", folder_ / "vm.vmgs.key"});
    return support::run_command(arguments);
  }

  TempFolder folder_;
};

TEST_F(VariablesTest, WhatWasFlushedSurvivesAKill) {
  {
    Instance instance(folder_.path(), options());
    auto client = use(instance);
    EXPECT_EQ(client.size_bytes(), kFlashBytes);
    EXPECT_THAT(client.read(0, 2), Optional(base::Bytes(2, std::byte{0xff})));
    ASSERT_THAT(client.write(512, sector(1)), Optional(0U));
    ASSERT_THAT(client.flush(), Optional(0U));
    ASSERT_THAT(client.write(1024, sector(2), true), Optional(0U));
    instance.process().kill();
  }
  Instance instance(folder_.path(), options());
  auto client = use(instance);
  EXPECT_THAT(client.read(512, 512), Optional(sector(1)));
  EXPECT_THAT(client.read(1024, 512), Optional(sector(2))) << "written through";
}

TEST_F(VariablesTest, WhatWasWrittenIsStoredWhenTheHypervisorGoes) {
  for (const bool says_so : {true, false}) {
    Instance instance(folder_.path(), options());
    {
      auto client = use(instance);
      ASSERT_THAT(client.write(0, sector(says_so ? 3 : 4)), Optional(0U));
      if (says_so) {
        client.disconnect();
      }
    }
    // Whoever comes next is served after the one before has been seen off.
    use(instance).disconnect();
    instance.process().kill();
    EXPECT_EQ(stored().at(0), says_so ? std::byte{3} : std::byte{4});
  }
}

TEST_F(VariablesTest, WhatWasWrittenIsStoredWhenTheInstanceIsStopped) {
  Instance instance(folder_.path(), options());
  auto client = use(instance);
  ASSERT_THAT(client.write(0, sector(5)), Optional(0U));

  EXPECT_EQ(instance.stop(), 0) << instance.log();
  EXPECT_EQ(stored().at(0), std::byte{5});
}

TEST_F(VariablesTest, WhatWasWrittenIsStoredWhenTheMachineIsPoweredOff) {
  Instance instance(folder_.path(), options());
  auto client = use(instance);
  auto hypervisor = *Hypervisor::attach(instance.control());
  ASSERT_THAT(client.write(0, sector(6)), Optional(0U));

  EXPECT_EQ(*hypervisor.result(Control::kShutdown), 0U);
  EXPECT_EQ(instance.wait(), 0) << instance.log();
  EXPECT_EQ(stored().at(0), std::byte{6});
}

// Round by round each sector gets the number of the round, in order and without a flush but now and
// then or never; so an image that the flash had at one moment has sectors of one round, and behind
// them those of the round before. Whenever the instance is killed, such an image must be in the
// store, and no older one than was flushed.
TEST_F(VariablesTest, AKillAmongThousandsOfWritesLeavesAnImageThatWasWhole) {
  constexpr int kKills = 12;
  constexpr std::uint64_t kSectors = 600;
  std::mt19937 random(1);
  std::uint8_t round = 0;
  std::uint64_t committed_by_clock = 0;
  for (int kill = 0; kill < kKills; ++kill) {
    Instance instance(folder_.path(), options());
    auto client = use(instance);
    // All of it is of one round again.
    for (std::uint64_t i = 0; i < kSectors; ++i) {
      ASSERT_THAT(client.write(i * kSectorBytes, sector(round)), Optional(0U));
    }
    ASSERT_THAT(client.flush(), Optional(0U));

    // Each second time nobody flushes, and there is time for the clock to do it.
    const bool flushes = kill % 2 == 0;
    const std::chrono::milliseconds patience((flushes ? 0 : 1200) + random() % 800);
    std::thread killer([&] {
      // From outside, at any moment.
      std::this_thread::sleep_for(patience);
      instance.process().signal(SIGKILL);
    });
    std::uint64_t flushed = 0;  // writes since
    std::uint64_t written = 0;
    for (bool alive = true; alive;) {
      const auto number = static_cast<std::uint8_t>(round + 1 + written / kSectors);
      const auto done = client.write(written % kSectors * kSectorBytes, sector(number));
      alive = done == 0U;
      written += alive ? 1 : 0;
      if (alive && flushes && written % 2500 == 0) {
        alive = client.flush() == 0U;
        flushed = alive ? written : flushed;
      }
    }
    killer.join();
    instance.process().kill();

    const auto image = stored();
    ASSERT_EQ(image.size(), kFlashBytes);
    std::uint64_t found = 0;
    for (std::uint64_t i = 0; i < kSectors; ++i) {
      const auto value = image[i * kSectorBytes];
      for (std::size_t at = 0; at < kSectorBytes; ++at) {
        ASSERT_EQ(image[i * kSectorBytes + at], value) << "a sector was torn";
      }
      found += static_cast<std::uint8_t>(std::to_integer<std::uint8_t>(value) - round);
    }
    // The writes that are in the image, if it is one that the flash had.
    for (std::uint64_t i = 0; i < kSectors; ++i) {
      const auto rounds =
          static_cast<std::uint8_t>(round + found / kSectors + (i < found % kSectors ? 1 : 0));
      ASSERT_EQ(std::to_integer<std::uint8_t>(image[i * kSectorBytes]), rounds)
          << "sector " << i << " after " << found << " writes";
    }
    EXPECT_GE(found, flushed);
    EXPECT_LE(found, written + 1);
    committed_by_clock += found > flushed ? 1 : 0;
    round = static_cast<std::uint8_t>(round + written / kSectors + 2);
  }
  EXPECT_GT(committed_by_clock, 0U) << "what nobody flushed is stored in a while";
}

TEST_F(VariablesTest, ATpmAndVariablesAreStoredBesideEachOther) {
  constexpr std::uint32_t kIndex = 0x01500016;
  {
    Instance instance(folder_.path(), options());
    auto client = use(instance);
    auto hypervisor = *Hypervisor::attach(instance.control());
    const auto run = [&](const base::Bytes& command) {
      return tpm::response_code(*hypervisor.command(command));
    };
    ASSERT_EQ(run(tpm::startup_clear()), tpm::kSuccess);
    ASSERT_EQ(run(tpm::nv_define(kIndex, 64)), tpm::kSuccess);
    for (std::uint8_t i = 1; i <= 50; ++i) {
      ASSERT_THAT(client.write(0, sector(i), i % 5 == 0), Optional(0U));
      ASSERT_EQ(run(tpm::nv_write(kIndex, base::Bytes(64, std::byte{i}))), tpm::kSuccess);
    }
    instance.process().kill();
  }
  Instance instance(folder_.path(), options());
  EXPECT_THAT(use(instance).read(0, 512), Optional(sector(50)));
  auto hypervisor = *Hypervisor::attach(instance.control());
  ASSERT_EQ(tpm::response_code(*hypervisor.command(tpm::startup_clear())), tpm::kSuccess);
  EXPECT_EQ(tpm::nv_data(*hypervisor.command(tpm::nv_read(kIndex, 64))),
            base::Bytes(64, std::byte{50}));
}

TEST_F(VariablesTest, WhatCannotBeStoredIsAnErrorUntilItCan) {
  Instance instance(folder_.path(), options());
  auto client = use(instance);
  ASSERT_THAT(client.write(0, sector(1), true), Optional(0U));
  std::filesystem::rename(folder_ / "vm.vmgs", folder_ / "elsewhere");

  EXPECT_THAT(client.write(0, sector(2), true), Optional(kIoError));
  EXPECT_THAT(client.write(512, sector(3)), Optional(kIoError));
  EXPECT_THAT(client.flush(), Optional(kIoError));
  EXPECT_THAT(instance.log(), HasSubstr("UEFI variables cannot be stored"));

  std::filesystem::rename(folder_ / "elsewhere", folder_ / "vm.vmgs");
  EXPECT_THAT(client.flush(), Optional(0U)) << instance.log();
  EXPECT_THAT(client.write(1024, sector(4)), Optional(0U));
  EXPECT_EQ(instance.stop(), 0) << instance.log();
  EXPECT_THAT(instance.log(), HasSubstr("store-failing"));
  const auto image = stored();
  EXPECT_EQ(image.at(0), std::byte{2});
  EXPECT_EQ(image.at(512), std::byte{3});
  EXPECT_EQ(image.at(1024), std::byte{4});
}

TEST_F(VariablesTest, TheSizeIsThatOfTheFirstStart) {
  {
    Instance instance(folder_.path(), options({"--variables-size", "131072"}));
    auto client = use(instance);
    EXPECT_EQ(client.size_bytes(), 131072U);
    ASSERT_THAT(client.write(0, sector(1), true), Optional(0U));
    EXPECT_THAT(client.write(131072 - 511, sector(1)), Optional(28U));
    ASSERT_EQ(instance.stop(), 0);
  }
  Instance instance(folder_.path(), options());
  EXPECT_EQ(use(instance).size_bytes(), 131072U);
}

TEST_F(VariablesTest, AnEphemeralVmKeepsThemInMemoryOnly) {
  const std::vector<std::string> ephemeral = {"--lifetime", "ephemeral", "--nbd", socket()};
  {
    Instance instance(folder_.path(), ephemeral);
    {
      auto client = use(instance);
      ASSERT_THAT(client.write(0, sector(1), true), Optional(0U));
      client.disconnect();
    }
    EXPECT_THAT(use(instance).read(0, 512), Optional(sector(1))) << "as long as it lives";
    ASSERT_EQ(instance.stop(), 0);
    EXPECT_THAT(instance.log(), HasSubstr("UEFI variables of an ephemeral VM"));
  }
  Instance instance(folder_.path(), ephemeral);
  EXPECT_THAT(use(instance).read(0, 512), Optional(sector(0xff)));
}

// QEMU writes the whole flash when an incoming VM begins to run; others may begin before.
TEST_F(VariablesTest, AnIncomingVmLosesNothingThatIsWrittenBeforeItsTpmArrives) {
  TempFolder from;
  base::Bytes permanent;
  base::Bytes running;
  {
    Instance source(from.path(),
                    {"--vmgs", from / "vm.vmgs", "--create", "--state-blobs", "plain"});
    auto hypervisor = *Hypervisor::attach(source.control());
    ASSERT_EQ(tpm::response_code(*hypervisor.command(tpm::startup_clear())), tpm::kSuccess);
    permanent = *hypervisor.get_state_blob(1);
    running = *hypervisor.get_state_blob(2);
  }
  Instance instance(folder_.path(), options({"--incoming", "--state-blobs", "plain"}));
  auto client = use(instance);
  ASSERT_THAT(client.write(0, sector(1)), Optional(0U));
  EXPECT_THAT(client.flush(), Optional(kIoError)) << "there is no store yet to keep it";

  auto hypervisor = *Hypervisor::connect(instance.control());
  ASSERT_EQ(*hypervisor.set_data_descriptor(), 0U);
  ASSERT_EQ(*hypervisor.set_state_blob(1, permanent), 0U);
  ASSERT_EQ(*hypervisor.set_state_blob(2, running), 0U);
  ASSERT_EQ(*hypervisor.init(1), 0U);
  ASSERT_THAT(client.write(512, sector(2)), Optional(0U));
  EXPECT_THAT(client.flush(), Optional(0U)) << instance.log();
  instance.process().kill();
  const auto image = stored();
  EXPECT_EQ(image.at(0), std::byte{1});
  EXPECT_EQ(image.at(512), std::byte{2});
  EXPECT_EQ(image.at(1024), std::byte{0xff});
}

TEST_F(VariablesTest, EnrolledKeysAreThereBeforeAnybodyIsServedAndAreListed) {
  const std::filesystem::path enrolled = "/usr/share/OVMF/OVMF_VARS_4M.ms.fd";
  ASSERT_TRUE(std::filesystem::exists(enrolled)) << "install the package ovmf";
  {
    Instance instance(folder_.path(), options({"--variables-from", enrolled}));
    instance.process().kill();
  }
  const auto listed = vmgs({"variables", folder_ / "vm.vmgs", "--json"});
  ASSERT_EQ(listed.status, 0) << listed.err;
  const auto document = boost::json::parse(listed.out).as_object();
  EXPECT_EQ(document.at("schema"), "strongroom.vmgs.variables/1");
  const auto& secure_boot = document.at("secure_boot").as_object();
  EXPECT_EQ(secure_boot.at("state"), "on");
  std::vector<std::string> subjects;
  std::size_t hashes = 0;
  for (const auto& database : secure_boot.at("databases").as_array()) {
    for (const auto& signature : database.at("signatures").as_array()) {
      if (const auto* subject = signature.as_object().if_contains("subject")) {
        EXPECT_EQ(signature.at("sha256").as_string().size(), 64U);
        subjects.push_back(std::string(database.at("name").as_string()) + ": " +
                           std::string(subject->as_string()));
      } else {
        ++hashes;
      }
    }
  }
  EXPECT_THAT(subjects, testing::Contains(HasSubstr("KEK: CN=Microsoft Corporation KEK CA 2011")));
  EXPECT_THAT(subjects,
              testing::Contains(HasSubstr("db: CN=Microsoft Windows Production PCA 2011")));
  EXPECT_THAT(subjects, testing::Contains(testing::StartsWith("PK: ")));
  EXPECT_GT(hashes, 0U) << "what dbx revokes";

  const auto text = vmgs({"variables", folder_ / "vm.vmgs"});
  EXPECT_THAT(text.out, HasSubstr("Secure Boot is on"));
  EXPECT_THAT(text.out, HasSubstr("certificate CN=Microsoft Corporation KEK CA 2011"));
}

TEST_F(VariablesTest, ToolsThatSpeakNbdReadAndWriteThem) {
  Instance instance(folder_.path(), options());
  const auto uri = "nbd+unix:///?socket=" + socket();
  const auto tool = [](std::vector<std::string> arguments) {
    return support::run_command(arguments);
  };
  const auto info = tool({"/usr/bin/qemu-img", "info", "-f", "raw", uri});
  ASSERT_EQ(info.status, 0) << info.err;
  EXPECT_THAT(info.out, HasSubstr("540672 bytes"));

  const auto io = tool({"/usr/bin/qemu-io", "-f", "raw", "-c", "write -P 0x5a 4096 8192", "-c",
                        "flush", "-c", "read -P 0x5a 4096 8192", "-c", "read -P 0xff 0 4096", uri});
  EXPECT_EQ(io.status, 0) << io.out << io.err;
  EXPECT_THAT(io.out, testing::Not(HasSubstr("failed")));
  instance.process().kill();
  EXPECT_EQ(stored().at(4096), std::byte{0x5a});
}

}  // namespace
}  // namespace tests::integration
