// SPDX-License-Identifier: Apache-2.0
#include "vtpm/protocol/power_command.h"

#include <gtest/gtest.h>

#include <array>

namespace vtpm::protocol {
namespace {

// The expected bytes are what tpm2-tools 5.4 sends, taken with its pcap TCTI.

TEST(PowerCommandTest, StartupHasTheBytesOfTheStandard) {
  EXPECT_EQ(base::to_hex(startup(StartupType::kClear)), "80010000000c000001440000");
  EXPECT_EQ(base::to_hex(startup(StartupType::kState)), "80010000000c000001440001");
}

TEST(PowerCommandTest, ShutdownHasTheBytesOfTheStandard) {
  EXPECT_EQ(base::to_hex(shutdown(StartupType::kClear)), "80010000000c000001450000");
  EXPECT_EQ(base::to_hex(shutdown(StartupType::kState)), "80010000000c000001450001");
}

TEST(PowerCommandTest, StirRandomCarriesSizeAndEntropy) {
  std::array<std::byte, 32> entropy;
  entropy.fill(std::byte{0xa5});

  EXPECT_EQ(base::to_hex(stir_random(entropy)), "80010000002c000001460020" + base::to_hex(entropy));
}

}  // namespace
}  // namespace vtpm::protocol
