// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <fstream>
#include <string>

#include "tests/integration/vtpmd.h"
#include "tests/support/hypervisor.h"
#include "tests/support/temp_folder.h"
#include "tests/support/tpm_commands.h"
#include "vmgs/base/bytes.h"

namespace tests::integration {

// What a guest does with its TPM, and a vtpmd that gives it one.

inline constexpr std::uint32_t kIndex = 0x01500016;

inline base::Bytes send(support::Hypervisor& hypervisor, const base::Bytes& command) {
  auto response = hypervisor.command(command);
  EXPECT_TRUE(response) << response.error().message;
  return response ? *response : base::Bytes(10);
}

inline std::uint32_t run(support::Hypervisor& hypervisor, const base::Bytes& command) {
  return support::response_code(send(hypervisor, command));
}

inline base::Bytes data_of(std::uint8_t value) { return base::Bytes(8, std::byte{value}); }

inline base::Bytes nv(support::Hypervisor& hypervisor) {
  return support::nv_data(send(hypervisor, support::nv_read(kIndex, 8)));
}

inline void define_and_write(support::Hypervisor& hypervisor, std::uint8_t value) {
  ASSERT_EQ(run(hypervisor, support::nv_define(kIndex, 8)), support::kSuccess);
  ASSERT_EQ(run(hypervisor, support::nv_write(kIndex, data_of(value))), support::kSuccess);
}

// The process that all instances are children of.
inline int parent_of(int pid) {
  std::ifstream stat("/proc/" + std::to_string(pid) + "/stat");
  std::string skipped;
  std::getline(stat, skipped, ')');
  char state = 0;
  int parent = 0;
  stat >> state >> parent;
  return parent;
}

class VtpmdTest : public testing::Test {
 protected:
  // A hypervisor whose guest has started its TPM.
  support::Hypervisor boot(const std::string& name) {
    auto hypervisor = vtpmd_.attach(name);
    EXPECT_EQ(run(hypervisor, support::startup_clear()), support::kSuccess);
    return hypervisor;
  }

  support::TempFolder folder_;
  Vtpmd vtpmd_{folder_.path()};
};

}  // namespace tests::integration
