// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <fstream>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "tests/support/fake_nv_store.h"
#include "tests/support/tpm_commands.h"
#include "vmgs/format/swtpm_blob.h"
#include "vtpm/device/device.h"

namespace vtpm::device {

// DeviceCase is a test of a device whose TPM was made and never started. tests/data/swtpm says what
// lies at kIndex of the TPM that swtpm made.
class DeviceCase : public testing::Test {
 protected:
  static constexpr std::uint32_t kIndex = 0x01500016;
  static constexpr std::array<std::byte, 32> kDigest = {std::byte{0x5a}};

  // The state in a file of tests/data/swtpm.
  static base::Bytes of_swtpm(const std::string& name) {
    std::ifstream file(std::string(STRONGROOM_TEST_DATA) + "/swtpm/" + name, std::ios::binary);
    const std::string content((std::istreambuf_iterator<char>(file)), {});
    const auto blob = vmgs::format::decode_swtpm_blob(base::bytes_of(content));
    EXPECT_TRUE(blob) << name;
    return blob ? base::copy_of(blob->state) : base::Bytes();
  }

  void SetUp() override {
    auto engine = engine::Engine::create(store_);
    ASSERT_TRUE(engine) << engine.error().message;
    engine_ = *std::move(engine);
    ASSERT_TRUE(engine_->start(engine::Origin::kManufacture));
    engine_->terminate();
    device_.emplace(*engine_, Options{});
  }

  void power_on() {
    const auto powered = device_->init();
    ASSERT_TRUE(powered) << powered.error().message;
    ASSERT_EQ(run(tests::support::startup_clear()), tests::support::kSuccess);
  }

  base::Bytes send(base::Bytes command) { return device_->process(command); }

  std::uint32_t run(base::Bytes command) {
    return tests::support::response_code(send(std::move(command)));
  }

  base::Bytes pcr(unsigned number) {
    return tests::support::pcr_value(send(tests::support::pcr_read(number)));
  }

  // The content of swtpm's index. Its first use is answered with "again", as it has lockout
  // protection and that has to be recorded before the password is looked at.
  std::string text_of_swtpm() {
    auto response = send(tests::support::nv_read(kIndex, 16));
    if (tests::support::response_code(response) == tests::support::kRetry) {
      response = send(tests::support::nv_read(kIndex, 16));
    }
    const auto data = tests::support::nv_data(response);
    return std::string(reinterpret_cast<const char*>(data.data()), data.size());
  }

  // Startup(STATE) succeeds if and only if the TPM was shut down with its state kept.
  std::uint32_t resume_code() {
    EXPECT_TRUE(device_->init());
    return run(tests::support::startup_state());
  }

  tests::support::FakeNvStore store_;
  std::unique_ptr<engine::Engine> engine_;
  std::optional<Device> device_;
};

}  // namespace vtpm::device
