// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <memory>
#include <thread>

#include "tests/support/device_case.h"
#include "tests/support/error_code.h"

// A TPM that goes on in another process.
namespace vtpm::device {
namespace {

using base::ErrorCode;
using engine::BlobKind;
using tests::support::error_code;
using tests::support::response_code;
namespace tpm = tests::support;

constexpr std::array<std::byte, 16> kDigest16 = {std::byte{0xa5}};

// The other process is another engine here, as libtpms keeps one TPM to a process.
class DeviceSuccessionTest : public DeviceCase {
 protected:
  // What the test's device hands over. It is gone then.
  Running hand_over() {
    auto running = device_->suspend();
    EXPECT_TRUE(running) << running.error().message;
    device_->abandon();
    device_.reset();
    engine_.reset();
    return *std::move(running);
  }

  // The successor. Its store refuses everything until the TPM goes on.
  void go_on_with(Running running) {
    engine_ = *engine::Engine::create(store_);
    device_.emplace(*engine_, Options{});
    store_.load_error = base::Error{ErrorCode::kIo, "nothing is to be read"};
    store_.store_error = base::Error{ErrorCode::kIo, "nothing is to be written"};
    const auto resumed = device_->resume(std::move(running));
    ASSERT_TRUE(resumed) << resumed.error().message;
    store_.load_error.reset();
    store_.store_error.reset();
  }
};

TEST_F(DeviceSuccessionTest, GoesOnWhereItStoppedWithoutTouchingTheStore) {
  ASSERT_TRUE(device_->set_buffer_size(3968));
  power_on();
  ASSERT_EQ(run(tpm::nv_define_orderly(kIndex, 16)), tpm::kSuccess);
  ASSERT_EQ(run(tpm::nv_write(kIndex, kDigest16)), tpm::kSuccess);
  ASSERT_EQ(run(tpm::pcr_extend(16, kDigest)), tpm::kSuccess);
  ASSERT_TRUE(device_->set_locality(2));
  const auto extended = pcr(16);
  const auto stored = store_.stores;

  go_on_with(hand_over());

  EXPECT_EQ(store_.stores, stored);
  EXPECT_TRUE(device_->powered());
  EXPECT_EQ(device_->buffer_size().current, 3968U);
  EXPECT_EQ(pcr(16), extended);
  // In RAM only, until a Shutdown.
  EXPECT_EQ(tpm::nv_data(send(tpm::nv_read(kIndex, 16))), base::copy_of(kDigest16));
  auto at_its_locality = tpm::read_clock();
  EXPECT_EQ(response_code(device_->process(at_its_locality, Sender::kGuest, std::uint8_t{2})),
            tpm::kSuccess)
      << "the locality is another";
  ASSERT_EQ(run(tpm::nv_write(kIndex, kDigest16)), tpm::kSuccess);
}

TEST_F(DeviceSuccessionTest, KeepsADynamicRootOfTrust) {
  power_on();
  ASSERT_TRUE(device_->hash_start());
  ASSERT_TRUE(device_->hash_end());
  ASSERT_TRUE(*device_->established());
  const auto measured = pcr(17);

  go_on_with(hand_over());

  EXPECT_TRUE(*device_->established());
  EXPECT_EQ(pcr(17), measured);
}

TEST_F(DeviceSuccessionTest, StaysOffWhereItWasOff) {
  go_on_with(hand_over());

  EXPECT_FALSE(device_->powered());
  power_on();
}

TEST_F(DeviceSuccessionTest, KnowsThatItsGuestHasShutItDown) {
  power_on();
  ASSERT_EQ(run(tpm::shutdown_state()), tpm::kSuccess);

  go_on_with(hand_over());

  // Another Shutdown, CLEAR, would have made this impossible.
  device_->stop();
  EXPECT_EQ(resume_code(), tpm::kSuccess);
}

TEST_F(DeviceSuccessionTest, GoesOnHereWhenNobodyTookIt) {
  power_on();
  ASSERT_TRUE(device_->suspend());
  std::atomic<bool> answered = false;
  std::thread guest([&] {
    EXPECT_EQ(run(tpm::read_clock()), tpm::kSuccess);
    answered = true;
  });

  EXPECT_FALSE(answered);
  device_->go_on();

  guest.join();
  EXPECT_TRUE(answered);
}

TEST_F(DeviceSuccessionTest, IsNotHandedOverInTheMiddleOfSomething) {
  power_on();
  ASSERT_TRUE(device_->hash_start());
  EXPECT_EQ(error_code(device_->suspend()), ErrorCode::kUnavailable);
  ASSERT_TRUE(device_->hash_end());
  ASSERT_TRUE(device_->store_volatile());
  EXPECT_EQ(error_code(device_->suspend()), ErrorCode::kUnavailable) << "it may be powered off now";
  ASSERT_EQ(run(tpm::read_clock()), tpm::kSuccess);
  ASSERT_TRUE(device_->suspend());
  device_->go_on();
  const auto blob = *device_->state_blob(BlobKind::kPermanent);
  device_->stop();
  ASSERT_TRUE(device_->set_state_blob(BlobKind::kPermanent, blob.expose()));

  EXPECT_EQ(error_code(device_->suspend()), ErrorCode::kUnavailable);
}

TEST_F(DeviceSuccessionTest, IsNotHandedOverInFailureMode) {
  power_on();
  store_.store_error = base::Error{ErrorCode::kIo, "full"};
  ASSERT_EQ(run(tpm::nv_define(kIndex, 8)), tpm::kFailure);

  EXPECT_EQ(error_code(device_->suspend()), ErrorCode::kDenied);
  EXPECT_EQ(run(tpm::read_clock()), tpm::kFailure) << "it is not suspended";
}

TEST_F(DeviceSuccessionTest, IsOffForGoodWhereItWasAbandoned) {
  power_on();
  const auto stored = store_.stores;
  ASSERT_TRUE(device_->suspend());

  device_->abandon();
  device_->retire();

  EXPECT_EQ(store_.stores, stored) << "a Shutdown would have been stored";
  EXPECT_EQ(run(tpm::read_clock()), tpm::kFailure);
}

}  // namespace
}  // namespace vtpm::device
