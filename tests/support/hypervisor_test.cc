// SPDX-License-Identifier: Apache-2.0
#include "tests/support/hypervisor.h"

#include <gtest/gtest.h>

#include <csignal>

#include "tests/support/process.h"
#include "tests/support/temp_folder.h"
#include "tests/support/tpm_commands.h"

// The client is tried on swtpm, so that what it later finds of ours is not its own mistake.
namespace tests::support {
namespace {

using std::chrono::seconds;

class HypervisorTest : public testing::Test {
 protected:
  HypervisorTest()
      : process_(*Process::start({"swtpm", "socket", "--tpm2", "--tpmstate",
                                  "dir=" + folder_.path().string(), "--ctrl",
                                  "type=unixio,path=" + (folder_ / "ctrl").string()})) {
    EXPECT_TRUE(wait_for_socket(folder_ / "ctrl", process_, seconds(10)));
  }

  TempFolder folder_;
  Process process_;
};

TEST_F(HypervisorTest, DrivesATpm) {
  auto hypervisor = Hypervisor::attach(folder_ / "ctrl");
  ASSERT_TRUE(hypervisor) << hypervisor.error().message;

  EXPECT_EQ(response_code(*hypervisor->command(startup_clear())), kSuccess);
  EXPECT_EQ(random_data(*hypervisor->command(get_random(16))).size(), 16U);
  EXPECT_EQ(*hypervisor->set_locality(2), 0U);
  EXPECT_EQ(hypervisor->control(Control::kGetCapability, {}, 8)->size(), 8U);
}

TEST_F(HypervisorTest, CarriesStateOverARestart) {
  auto hypervisor = *Hypervisor::attach(folder_ / "ctrl");
  ASSERT_EQ(response_code(*hypervisor.command(startup_clear())), kSuccess);
  std::array<std::byte, 32> digest{};
  ASSERT_EQ(response_code(*hypervisor.command(pcr_extend(16, digest))), kSuccess);
  const auto before = pcr_value(*hypervisor.command(pcr_read(16)));
  const auto permanent = *hypervisor.get_state_blob(1);
  const auto transient = *hypervisor.get_state_blob(2);

  ASSERT_EQ(*hypervisor.result(Control::kStop), 0U);
  ASSERT_EQ(*hypervisor.set_state_blob(1, permanent), 0U);
  ASSERT_EQ(*hypervisor.set_state_blob(2, transient), 0U);
  ASSERT_EQ(*hypervisor.init(1), 0U);

  EXPECT_EQ(pcr_value(*hypervisor.command(pcr_read(16))), before);
}

TEST_F(HypervisorTest, NoticesThatTheServiceIsGone) {
  auto hypervisor = *Hypervisor::attach(folder_ / "ctrl");

  process_.signal(SIGTERM);
  ASSERT_TRUE(process_.wait(seconds(10)));

  EXPECT_FALSE(hypervisor.result(Control::kStop));
}

TEST(ProcessTest, TellsHowAChildEnded) {
  auto process = *Process::start({"sh", "-c", "exit 3"});
  EXPECT_EQ(process.wait(seconds(10)), 3);

  auto killed = *Process::start({"sh", "-c", "kill -9 $$"});
  EXPECT_EQ(killed.wait(seconds(10)), 137);
}

TEST(ProcessTest, ReportsAProgramThatIsNotThere) {
  EXPECT_EQ(Process::start({"no-such-program-here"}).error().code, base::ErrorCode::kNotFound);
}

TEST(ProcessTest, WaitForSocketEndsWithTheProcess) {
  const TempFolder folder;
  auto process = *Process::start({"true"});

  EXPECT_FALSE(wait_for_socket(folder / "never", process, seconds(10)));
}

}  // namespace
}  // namespace tests::support
