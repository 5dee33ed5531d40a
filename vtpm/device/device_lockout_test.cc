// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <chrono>

#include "tests/support/device_case.h"
#include "tests/support/error_code.h"

// What a platform sees and does of dictionary attack protection.
namespace vtpm::device {
namespace {

using base::ErrorCode;
using tests::support::error_code;
namespace tpm = tests::support;

using DeviceLockoutTest = DeviceCase;

TEST_F(DeviceLockoutTest, ShowsHowNearALockoutIsAndResetsItForWhoeverMay) {
  device_.emplace(*engine_, Options{.on_lockout = [](bool) {}});
  EXPECT_EQ(error_code(device_->lockout()), ErrorCode::kDenied);
  EXPECT_EQ(error_code(device_->reset_lockout({})), ErrorCode::kDenied);
  ASSERT_TRUE(device_->init());
  EXPECT_EQ(error_code(device_->lockout()), ErrorCode::kUnavailable);
  ASSERT_EQ(run(tpm::startup_clear()), tpm::kSuccess);
  const auto fresh = device_->lockout();
  ASSERT_TRUE(fresh) << fresh.error().message;
  EXPECT_EQ(fresh->state.failed_tries, 0U);
  EXPECT_FALSE(fresh->state.has_authorization);
  const auto most = fresh->state.max_tries;
  ASSERT_GT(most, 1U);

  ASSERT_EQ(run(tpm::nv_define_guarded(kIndex, 8)), tpm::kSuccess);
  while (run(tpm::nv_write(kIndex, base::Bytes(8))) == tpm::kRetry) {
  }
  for (std::uint32_t i = 1; i <= most; ++i) {
    EXPECT_NE(run(tpm::nv_read(kIndex, 8, "wrong")), tpm::kSuccess);
    EXPECT_EQ(device_->lockout()->state.failed_tries, i);
    EXPECT_EQ(device_->lockout()->state.locked_out, i == most);
  }
  const auto locked = device_->lockout();
  ASSERT_TRUE(locked->until);
  EXPECT_LE(*locked->until, std::chrono::system_clock::now() +
                                std::chrono::seconds(locked->state.recovery_seconds));
  EXPECT_EQ(run(tpm::nv_read(kIndex, 8)), tpm::kLockout);

  ASSERT_EQ(run(tpm::set_auth(tpm::kLockoutHierarchy, base::bytes_of("tenant"))), tpm::kSuccess);
  EXPECT_EQ(error_code(device_->reset_lockout(base::Bytes(65))), ErrorCode::kInvalidArgument);
  ASSERT_TRUE(device_->reset_lockout(base::bytes_of("tenant")));
  EXPECT_EQ(device_->lockout()->state.failed_tries, 0U);
  EXPECT_FALSE(device_->lockout()->state.locked_out);
  EXPECT_TRUE(device_->lockout()->state.has_authorization);
  EXPECT_EQ(run(tpm::nv_read(kIndex, 8)), tpm::kSuccess);

  // A wrong one shuts the lockout hierarchy itself, for the right one too.
  EXPECT_EQ(error_code(device_->reset_lockout(base::bytes_of("other"))),
            ErrorCode::kAuthentication);
  EXPECT_EQ(error_code(device_->reset_lockout(base::bytes_of("tenant"))), ErrorCode::kUnavailable);
}

TEST_F(DeviceLockoutTest, ShutsDownAgainAfterALockoutThatWasResetBehindItsGuestsShutdown) {
  power_on();
  ASSERT_EQ(run(tpm::shutdown_clear()), tpm::kSuccess);
  ASSERT_TRUE(device_->reset_lockout({}));
  const auto stored = store_.stores;

  device_->stop();

  // A Shutdown stores; the guest's own is not the last word any more.
  EXPECT_GT(store_.stores, stored);
}

}  // namespace
}  // namespace vtpm::device
