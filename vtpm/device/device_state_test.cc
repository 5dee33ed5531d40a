// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/device_case.h"
#include "tests/support/error_code.h"
#include "vmgs/crypto/digest.h"

// A TPM's state on its way out of a device and into one.
namespace vtpm::device {
namespace {

using base::ErrorCode;
using engine::BlobKind;
using tests::support::error_code;
using tests::support::response_code;
namespace tpm = tests::support;

using DeviceStateTest = DeviceCase;

TEST_F(DeviceStateTest, LeavesAndEnters) {
  power_on();
  ASSERT_EQ(run(tpm::pcr_extend(16, kDigest)), tpm::kSuccess);
  const auto before = pcr(16);
  const auto permanent = device_->state_blob(BlobKind::kPermanent);
  const auto volatile_blob = device_->state_blob(BlobKind::kVolatile);
  ASSERT_TRUE(permanent);
  ASSERT_TRUE(volatile_blob);
  EXPECT_EQ(run(tpm::get_random(8)), tpm::kSuccess) << "the TPM goes on";
  ASSERT_EQ(run(tpm::pcr_extend(16, kDigest)), tpm::kSuccess);
  device_->stop();

  ASSERT_TRUE(device_->set_state_blob(BlobKind::kPermanent, permanent->expose()));
  ASSERT_TRUE(device_->set_state_blob(BlobKind::kVolatile, volatile_blob->expose()));
  ASSERT_TRUE(device_->init());

  EXPECT_EQ(pcr(16), before);
}

TEST_F(DeviceStateTest, GoesOnWhereSwtpmStopped) {
  ASSERT_TRUE(device_->set_state_blob(BlobKind::kPermanent, of_swtpm("permanent.blob")));
  ASSERT_TRUE(device_->set_state_blob(BlobKind::kVolatile, of_swtpm("volatile.blob")));
  ASSERT_TRUE(device_->init());

  const std::array<std::byte, 32> zero{};
  const auto measured = vmgs::crypto::sha256(base::bytes_of("measured by swtpm"));
  EXPECT_EQ(base::to_hex(pcr(16)),
            base::to_hex(vmgs::crypto::sha256({base::ByteView(zero), base::ByteView(measured)})));
  EXPECT_EQ(text_of_swtpm(), "state from swtpm");
}

TEST_F(DeviceStateTest, TakesAFileOfSwtpm) {
  ASSERT_TRUE(device_->set_state_blob(BlobKind::kPermanent, of_swtpm("tpm2-00.permall")));
  power_on();

  EXPECT_EQ(text_of_swtpm(), "state from swtpm");
}

TEST_F(DeviceStateTest, RefusesGarbageAndKeepsItsOwnState) {
  const auto before = store_.stored(BlobKind::kPermanent);

  EXPECT_EQ(error_code(device_->set_state_blob(BlobKind::kPermanent, base::bytes_of("garbage"))),
            ErrorCode::kCorrupt);
  EXPECT_EQ(error_code(device_->set_state_blob(BlobKind::kPermanent, of_swtpm("volatile.blob"))),
            ErrorCode::kCorrupt);
  EXPECT_EQ(error_code(device_->set_state_blob(BlobKind::kPermanent, {})), ErrorCode::kCorrupt);

  EXPECT_EQ(store_.stored(BlobKind::kPermanent), before);
  power_on();
}

TEST_F(DeviceStateTest, TakesAnEmptyVolatileBlobForNone) {
  ASSERT_TRUE(device_->set_state_blob(BlobKind::kPermanent, of_swtpm("permanent.blob")));
  ASSERT_TRUE(device_->set_state_blob(BlobKind::kVolatile, {}));

  power_on();
}

TEST_F(DeviceStateTest, EntersOnlyWhenOffAndLeavesOnlyWhenOn) {
  EXPECT_EQ(error_code(device_->state_blob(BlobKind::kPermanent)), ErrorCode::kDenied);
  power_on();

  EXPECT_EQ(error_code(device_->set_state_blob(BlobKind::kPermanent, of_swtpm("permanent.blob"))),
            ErrorCode::kDenied);
  EXPECT_EQ(error_code(device_->set_state_blob(BlobKind::kVolatile, {})), ErrorCode::kDenied);
  EXPECT_EQ(error_code(device_->expect_may_set()), ErrorCode::kDenied);
  device_->stop();
  EXPECT_TRUE(device_->expect_may_set());
}

TEST_F(DeviceStateTest, StaysInsideWhereBlobsAreRefused) {
  device_.emplace(*engine_, Options{.state_blobs = StateBlobs::kRefused});

  EXPECT_EQ(error_code(device_->expect_may_set()), ErrorCode::kDenied);
  EXPECT_EQ(error_code(device_->set_state_blob(BlobKind::kPermanent, of_swtpm("permanent.blob"))),
            ErrorCode::kDenied);
  power_on();
  EXPECT_EQ(error_code(device_->state_blob(BlobKind::kPermanent)), ErrorCode::kDenied);
  EXPECT_EQ(error_code(device_->state_blob(BlobKind::kVolatile)), ErrorCode::kDenied);
}

TEST_F(DeviceStateTest, GoesOnFromAStoredVolatileBlobOnce) {
  power_on();
  ASSERT_EQ(run(tpm::pcr_extend(16, kDigest)), tpm::kSuccess);
  const auto before = pcr(16);
  ASSERT_TRUE(device_->store_volatile());
  engine_->terminate();  // as if the process had died

  ASSERT_TRUE(device_->init());
  EXPECT_EQ(pcr(16), before);

  power_on();
  EXPECT_NE(pcr(16), before);
}

// A Shutdown stores the permanent state, which ends a stored volatile one: what was asked to go on
// was gone.
TEST_F(DeviceStateTest, GoesOnFromAStoredVolatileBlobThroughAnOrderlyEnd) {
  for (const bool retires : {false, true}) {
    power_on();
    ASSERT_EQ(run(tpm::pcr_extend(16, kDigest)), tpm::kSuccess);
    const auto before = pcr(16);
    ASSERT_TRUE(device_->store_volatile());
    if (retires) {
      device_->retire();
    }

    ASSERT_TRUE(device_->init());

    EXPECT_EQ(pcr(16), before) << retires;
  }
}

TEST_F(DeviceStateTest, ShutsDownInOrderWhatWasUsedSinceItsVolatileStateWasStored) {
  power_on();
  ASSERT_TRUE(device_->store_volatile());
  ASSERT_EQ(run(tpm::pcr_extend(16, kDigest)), tpm::kSuccess);

  device_->stop();

  EXPECT_EQ(resume_code(), tpm::kSuccess) << "there was a Shutdown(STATE)";
}

}  // namespace
}  // namespace vtpm::device
