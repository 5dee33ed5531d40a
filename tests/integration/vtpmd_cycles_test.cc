// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include <cstdlib>
#include <iterator>

#include "tests/integration/guest.h"

namespace tests::integration {
namespace {

namespace fs = std::filesystem;

// STRONGROOM_CYCLES is how often a VM is started and stopped; 500 is for people.
unsigned cycles() {
  const char* text = std::getenv("STRONGROOM_CYCLES");
  return text == nullptr ? 20 : static_cast<unsigned>(std::strtoul(text, nullptr, 10));
}

std::ptrdiff_t descriptors_of(int pid) {
  const fs::directory_iterator open("/proc/" + std::to_string(pid) + "/fd");
  return std::distance(begin(open), end(open));
}

using VtpmdCyclesTest = VtpmdTest;

TEST_F(VtpmdCyclesTest, KeepNoDescriptorOfWhatHasEnded) {
  const auto cycle = [&](unsigned number) {
    (void)vtpmd_.create("a");
    {
      auto hypervisor = boot("a");
      EXPECT_GT(vtpmd_.pid("a"), 0);
      if (number % 2 == 0) {
        ::kill(vtpmd_.pid("a"), SIGKILL);
        vtpmd_.wait_for("a", "crashed");
      }
    }
    // Whether the instance has noticed yet that its guest has gone does not matter here.
    EXPECT_EQ(vtpmd_.ctl({"stop", "a", "--force"}).status, 0);
    EXPECT_EQ(vtpmd_.ctl({"delete", "a", "--yes"}).status, 0);
  };
  cycle(0);
  cycle(1);
  (void)vtpmd_.create("kept");
  const int parent = parent_of(vtpmd_.pid("kept"));
  const auto of_vtpmd = descriptors_of(vtpmd_.process().pid());
  const auto of_parent = descriptors_of(parent);

  for (unsigned number = 0; number < cycles(); ++number) {
    cycle(number);
  }

  // The last caller's connection may still be there; what leaks, leaks in each cycle.
  EXPECT_LE(descriptors_of(vtpmd_.process().pid()), of_vtpmd + 4);
  EXPECT_EQ(descriptors_of(parent), of_parent);
  EXPECT_EQ(parent_of(vtpmd_.pid("kept")), parent) << "it has not died meanwhile";
}

// An instance has its own descriptors and none of its parent's or its siblings'.
TEST_F(VtpmdCyclesTest, GiveEachInstanceTheSameDescriptors) {
  if (::geteuid() != 0) {
    GTEST_SKIP() << "instances let nobody but root look at them";
  }
  for (const auto* name : {"a", "b", "c", "d"}) {
    (void)vtpmd_.create(name);
  }
  const auto first = descriptors_of(vtpmd_.pid("a"));

  EXPECT_EQ(descriptors_of(vtpmd_.pid("b")), first);
  EXPECT_EQ(descriptors_of(vtpmd_.pid("c")), first);
  EXPECT_EQ(descriptors_of(vtpmd_.pid("d")), first);
}

}  // namespace
}  // namespace tests::integration
