// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gmock/gmock.h>

#include <array>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "tests/integration/instance.h"
#include "tests/support/hypervisor.h"
#include "tests/support/temp_folder.h"
#include "tests/support/tpm_commands.h"

namespace tests::integration {

namespace tpm = support;
using support::Control;
using support::Hypervisor;
using support::response_code;
using support::TempFolder;

constexpr std::uint32_t kIndex = 0x01500016;
constexpr std::array<std::byte, 32> kDigest = {std::byte{0x5a}};

inline base::Bytes data_of(std::uint8_t value) { return base::Bytes(64, std::byte{value}); }

// InstanceTest has a folder for a TPM's store, and speaks to an instance as a hypervisor and its
// guest do.
class InstanceTest : public testing::Test {
 protected:
  [[nodiscard]] std::vector<std::string> stored() const {
    return {"--vmgs", folder_ / "vm.vmgs", "--create"};
  }

  // The same, and its state leaves as swtpm's does.
  [[nodiscard]] std::vector<std::string> stored_in_the_open() const {
    auto options = stored();
    options.insert(options.end(), {"--state-blobs", "plain"});
    return options;
  }

  static Hypervisor attach(const Instance& instance) {
    auto hypervisor = Hypervisor::attach(instance.control());
    EXPECT_TRUE(hypervisor) << hypervisor.error().message << instance.log();
    return *std::move(hypervisor);
  }

  // A hypervisor whose guest has started its TPM.
  static Hypervisor boot(const Instance& instance) {
    auto hypervisor = attach(instance);
    EXPECT_EQ(run(hypervisor, tpm::startup_clear()), tpm::kSuccess);
    return hypervisor;
  }

  static base::Bytes send(Hypervisor& hypervisor, const base::Bytes& command) {
    auto response = hypervisor.command(command);
    EXPECT_TRUE(response) << response.error().message;
    return response ? *response : base::Bytes(10);
  }

  static std::uint32_t run(Hypervisor& hypervisor, const base::Bytes& command) {
    return response_code(send(hypervisor, command));
  }

  static base::Bytes nv(Hypervisor& hypervisor) {
    return tpm::nv_data(send(hypervisor, tpm::nv_read(kIndex, 64)));
  }

  [[nodiscard]] std::string bytes_of(const std::string& name) const {
    std::ifstream file(folder_ / name, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(file), {});
  }

  TempFolder folder_;
};

}  // namespace tests::integration
