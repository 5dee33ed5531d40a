// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <cstdlib>
#include <fstream>

#include "keybroker/protocol/launch_document.h"
#include "tests/integration/instance.h"
#include "tests/support/hypervisor.h"
#include "tests/support/temp_folder.h"
#include "tests/support/tpm_commands.h"

namespace tests::integration {
namespace {

using keybroker::protocol::LaunchDocument;
using keybroker::protocol::Lifetime;
using keybroker::protocol::Protection;
using keybroker::protocol::TeeFamily;
using support::Hypervisor;
using support::response_code;
using support::TempFolder;
namespace tpm = support;

constexpr std::uint32_t kIndex = 0x01500016;

// Confidential VMs on the simulated machine of one folder, by the real program.
class ConfidentialInstanceTest : public testing::TestWithParam<TeeFamily> {
 protected:
  ConfidentialInstanceTest() {
    ::setenv("STRONGROOM_SIMULATED_MACHINE", (folder_ / "machine").c_str(), 1);
  }

  ~ConfidentialInstanceTest() override { ::unsetenv("STRONGROOM_SIMULATED_MACHINE"); }

  LaunchDocument document(unsigned char vm) const {
    LaunchDocument document;
    document.vm_id.fill(std::byte{vm});
    document.tee_family = GetParam();
    document.protection = Protection::kHardware;
    return document;
  }

  // The options of an instance with that launch document.
  std::vector<std::string> launched(const LaunchDocument& document) const {
    const auto bytes = *keybroker::protocol::encode(document);
    std::ofstream file(folder_ / "launch", std::ios::binary);
    file.write(reinterpret_cast<const char*>(bytes.data()),
               static_cast<std::streamsize>(bytes.size()));
    return {"--launch-document", folder_ / "launch", "--vmgs", folder_ / "vm.vmgs", "--create"};
  }

  Instance start(const LaunchDocument& document) const {
    return Instance(folder_.path(), VTPM_INSTANCE_SIM, launched(document));
  }

  // How an instance ends that does not start.
  int status(std::vector<std::string> options, const std::string& program = VTPM_INSTANCE_SIM) {
    options.insert(options.begin(), {program, "--ctrl", folder_ / "ctrl"});
    auto process = support::Process::start(options, {.output = folder_ / "log"});
    return process->wait(std::chrono::seconds(20)).value_or(-1);
  }

  std::string log() const {
    std::ifstream file(folder_ / "log");
    return std::string(std::istreambuf_iterator<char>(file), {});
  }

  // Changes what the machine says it is.
  void edit_machine(const std::string& member, const std::string& value) const {
    auto machine = read_machine();
    ASSERT_TRUE(machine.contains(member)) << machine;
    machine[member] = value;
    write_machine(machine);
  }

  void set_tcb(unsigned char version) const {
    auto machine = read_machine();
    if (GetParam() == TeeFamily::kSevSnp) {
      for (const char* which : {"current", "committed", "reported"}) {
        machine.at("tcb").at(which).as_object()["microcode"] = version;
      }
    } else {
      auto svn = std::string(machine.at("tee_tcb_svn").as_string());
      machine["tee_tcb_svn"] = base::to_hex(base::Bytes{std::byte{version}}) + svn.substr(2);
    }
    write_machine(machine);
  }

  boost::json::object read_machine() const {
    std::ifstream file(folder_ / "machine" / "machine.json");
    return boost::json::parse(std::string(std::istreambuf_iterator<char>(file), {})).as_object();
  }

  void write_machine(const boost::json::object& machine) const {
    std::ofstream(folder_ / "machine" / "machine.json") << boost::json::serialize(machine);
  }

  TempFolder folder_;
};

TEST_P(ConfidentialInstanceTest, OpensForItsOwnVmAcrossKills) {
  for (int start_number = 0; start_number < 3; ++start_number) {
    auto instance = start(document(1));
    auto hypervisor = Hypervisor::attach(instance.control());
    ASSERT_TRUE(hypervisor) << instance.log();
    ASSERT_EQ(response_code(*hypervisor->command(tpm::startup_clear())), tpm::kSuccess);
    const auto defined = response_code(*hypervisor->command(tpm::nv_define(kIndex, 8)));
    EXPECT_EQ(defined == tpm::kSuccess, start_number == 0);
    instance.process().kill();
  }
  EXPECT_THAT(log(), testing::HasSubstr("SIMULATED"));
}

TEST_P(ConfidentialInstanceTest, AnotherLaunchDocumentOpensNothing) {
  EXPECT_EQ(start(document(1)).stop(), 0);

  EXPECT_EQ(status(launched(document(2))), 5) << "the same image on the same chip";
  EXPECT_THAT(log(), testing::AllOf(testing::HasSubstr("sealed-elsewhere"),
                                    testing::HasSubstr("launch digest: stored "),
                                    testing::HasSubstr("To open it: ")));
  EXPECT_EQ(start(document(1)).stop(), 0) << "and nothing was lost";
}

TEST_P(ConfidentialInstanceTest, AnotherImageOpensNothingAndIsToldWhatWould) {
  EXPECT_EQ(start(document(1)).stop(), 0);
  edit_machine(GetParam() == TeeFamily::kSevSnp ? "measurement" : "mr_td", std::string(96, '7'));

  EXPECT_EQ(status(launched(document(1))), 5) << log();
  EXPECT_THAT(log(), testing::AllOf(testing::HasSubstr("sealed-elsewhere"),
                                    testing::HasSubstr("launch measurement: stored "),
                                    testing::HasSubstr("start the VM with the image")));
}

TEST_P(ConfidentialInstanceTest, AFirmwareUpdateCanBeTakenBackUntilTheOperatorSaysItIsOver) {
  EXPECT_EQ(start(document(1)).stop(), 0) << "this makes the machine";
  std::filesystem::remove(folder_ / "vm.vmgs");
  set_tcb(20);
  EXPECT_EQ(start(document(1)).stop(), 0) << log();

  set_tcb(21);
  EXPECT_EQ(start(document(1)).stop(), 0) << log();
  set_tcb(20);
  EXPECT_EQ(start(document(1)).stop(), 0) << "it is taken back: " << log();

  set_tcb(21);
  auto over = launched(document(1));
  over.insert(over.end(), {"--tcb-grace", "over"});
  EXPECT_EQ(Instance(folder_.path(), VTPM_INSTANCE_SIM, over).stop(), 0) << log();
  set_tcb(20);
  EXPECT_EQ(status(launched(document(1))), 5) << "and now it is not";
  EXPECT_THAT(log(), testing::HasSubstr("TCB is older"));
}

TEST_P(ConfidentialInstanceTest, TheHostCannotTakeTheProtectionDown) {
  EXPECT_EQ(start(document(1)).stop(), 0);
  auto weaker = document(1);
  weaker.protection = Protection::kNone;

  EXPECT_EQ(status(launched(weaker)), 5);
  EXPECT_EQ(status({"--vmgs", folder_ / "vm.vmgs", "--protection", "none"}), 5);
  EXPECT_EQ(status({"--vmgs", folder_ / "vm.vmgs", "--key", folder_ / "key"}), 5);
}

TEST_P(ConfidentialInstanceTest, ExportsItsKeyForOpenHclAndServesNobody) {
  EXPECT_EQ(start(document(1)).stop(), 0);
  std::ofstream(folder_ / "configuration") << R"({"secure-boot":true})";
  auto exporting = launched(document(1));
  exporting.back() = "--export-openhcl-key";  // instead of --create
  exporting.push_back(folder_ / "configuration");

  EXPECT_EQ(status(exporting), 0) << log();
  EXPECT_THAT(log(), testing::HasSubstr("HW_KEY_PROTECTOR for OpenHCL"));
  EXPECT_EQ(start(document(1)).stop(), 0) << "and it still opens here: " << log();
  EXPECT_EQ(status({"--vmgs", folder_ / "vm.vmgs", "--key", folder_ / "key", "--export-openhcl-key",
                    folder_ / "configuration"}),
            2)
      << "there is no hardware key to export: " << log();
}

TEST_P(ConfidentialInstanceTest, TheProgramForRealMachinesHasNoSimulator) {
  EXPECT_EQ(status(launched(document(1)), VTPM_INSTANCE), 8) << log();
  EXPECT_FALSE(std::filesystem::exists(folder_ / "vm.vmgs"));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "machine"));
}

TEST_P(ConfidentialInstanceTest, AnEphemeralOneWritesNothingOfItsTpm) {
  auto ephemeral = document(1);
  ephemeral.protection = Protection::kNone;
  ephemeral.lifetime = Lifetime::kEphemeral;

  EXPECT_EQ(start(ephemeral).stop(), 0) << log();

  EXPECT_FALSE(std::filesystem::exists(folder_ / "vm.vmgs"));
}

TEST_P(ConfidentialInstanceTest, ADocumentForAnotherTeeIsRefused) {
  EXPECT_EQ(start(document(1)).stop(), 0);
  auto other = document(1);
  other.tee_family = GetParam() == TeeFamily::kSevSnp ? TeeFamily::kTdx : TeeFamily::kSevSnp;

  EXPECT_EQ(status(launched(other)), 5) << log();
  other.lifetime = Lifetime::kEphemeral;
  other.protection = Protection::kNone;
  EXPECT_EQ(status(launched(other)), 5) << "though there is nothing to unseal: " << log();
}

INSTANTIATE_TEST_SUITE_P(Tees, ConfidentialInstanceTest,
                         testing::Values(TeeFamily::kSevSnp, TeeFamily::kTdx),
                         [](const testing::TestParamInfo<TeeFamily>& tee) {
                           return tee.param == TeeFamily::kSevSnp ? "Snp" : "Tdx";
                         });

}  // namespace
}  // namespace tests::integration
