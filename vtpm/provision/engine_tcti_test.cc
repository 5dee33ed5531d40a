// SPDX-License-Identifier: Apache-2.0
#include "vtpm/provision/engine_tcti.h"

#include <gtest/gtest.h>

#include <array>

#include "tests/support/tpm_commands.h"
#include "vtpm/engine/memory_nv_store.h"

namespace vtpm::provision {
namespace {

namespace tpm = tests::support;

class EngineTctiTest : public testing::Test {
 protected:
  EngineTctiTest() : engine_(*engine::Engine::create(memory_)), tcti_(*engine_) {}

  void power_on() { ASSERT_TRUE(engine_->start(engine::Origin::kManufacture)); }

  TSS2_RC send(const base::Bytes& command) {
    return Tss2_Tcti_Transmit(tcti_.context(), command.size(),
                              reinterpret_cast<const std::uint8_t*>(command.data()));
  }

  TSS2_RC receive(std::size_t& size, std::uint8_t* response) {
    return Tss2_Tcti_Receive(tcti_.context(), &size, response, TSS2_TCTI_TIMEOUT_BLOCK);
  }

  engine::MemoryNvStore memory_;
  std::unique_ptr<engine::Engine> engine_;
  EngineTcti tcti_;
};

TEST_F(EngineTctiTest, CarriesACommandAndItsResponse) {
  power_on();
  ASSERT_EQ(send(tpm::startup_clear()), TSS2_RC_SUCCESS);
  std::array<std::uint8_t, 4096> response{};
  std::size_t size = response.size();

  ASSERT_EQ(receive(size, response.data()), TSS2_RC_SUCCESS);

  EXPECT_EQ(size, 10U);
  EXPECT_EQ(tpm::response_code(std::as_bytes(std::span(response))), tpm::kSuccess);
}

TEST_F(EngineTctiTest, TellsTheSizeBeforeItGivesTheResponse) {
  power_on();
  ASSERT_EQ(send(tpm::startup_clear()), TSS2_RC_SUCCESS);
  std::size_t size = 0;
  EXPECT_EQ(receive(size, nullptr), TSS2_RC_SUCCESS);
  EXPECT_EQ(size, 10U);
  std::array<std::uint8_t, 10> response{};
  size = 9;
  EXPECT_EQ(receive(size, response.data()), TSS2_TCTI_RC_INSUFFICIENT_BUFFER);
  EXPECT_EQ(size, 10U);

  EXPECT_EQ(receive(size, response.data()), TSS2_RC_SUCCESS);
  EXPECT_EQ(tpm::response_code(std::as_bytes(std::span(response))), tpm::kSuccess)
      << "the command ran once: a second Startup would be refused";
}

TEST_F(EngineTctiTest, KeepsCommandsInOrder) {
  power_on();
  std::array<std::uint8_t, 64> response{};
  std::size_t size = response.size();
  EXPECT_EQ(receive(size, response.data()), TSS2_TCTI_RC_BAD_SEQUENCE);
  ASSERT_EQ(send(tpm::startup_clear()), TSS2_RC_SUCCESS);
  EXPECT_EQ(send(tpm::startup_clear()), TSS2_TCTI_RC_BAD_SEQUENCE);
}

TEST_F(EngineTctiTest, SaysWhenTheTpmIsOff) {
  ASSERT_EQ(send(tpm::startup_clear()), TSS2_RC_SUCCESS);
  std::array<std::uint8_t, 64> response{};
  std::size_t size = response.size();
  EXPECT_EQ(receive(size, response.data()), TSS2_TCTI_RC_IO_ERROR);
}

TEST_F(EngineTctiTest, KnowsNoOtherLocality) {
  EXPECT_EQ(Tss2_Tcti_SetLocality(tcti_.context(), 0), TSS2_RC_SUCCESS);
  EXPECT_EQ(Tss2_Tcti_SetLocality(tcti_.context(), 1), TSS2_TCTI_RC_BAD_VALUE);
}

}  // namespace
}  // namespace vtpm::provision
