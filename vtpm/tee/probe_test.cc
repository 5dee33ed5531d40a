// SPDX-License-Identifier: Apache-2.0
#include "vtpm/tee/probe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>

#include "tests/support/error_code.h"
#include "tests/support/fake_tee_devices.h"

namespace vtpm::tee {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using tests::support::error_code;
using tests::support::FakeKernel;
using tests::support::FakeSevGuest;
using tests::support::FakeTdxGuest;

TEST(ProbeTest, FindsTheTeeByItsDevice) {
  FakeSevGuest snp;
  FakeKernel snp_kernel;
  snp_kernel.mount(snp);
  EXPECT_EQ((*probe(snp_kernel))->own_report()->family, TeeFamily::kSevSnp);

  FakeTdxGuest tdx;
  FakeKernel tdx_kernel;
  tdx_kernel.mount(tdx);
  EXPECT_EQ((*probe(tdx_kernel))->own_report()->family, TeeFamily::kTdx);
}

TEST(ProbeTest, SaysWhatIsMissingAndWhatToDo) {
  FakeKernel kernel;

  const auto tee = probe(kernel);

  ASSERT_EQ(error_code(tee), base::ErrorCode::kUnavailable);
  EXPECT_THAT(
      tee.error().message,
      AllOf(HasSubstr("neither /dev/sev-guest nor /dev/tdx_guest exists"), HasSubstr("modprobe"),
            HasSubstr("protection 'host'"), HasSubstr("vtpm-instance-sim")));
}

TEST(ProbeTest, ADeviceWithoutHardwareIsMissingToo) {
  FakeSevGuest snp;
  snp.open_error = ENODEV;
  FakeTdxGuest tdx;
  FakeKernel kernel;
  kernel.mount(snp);
  kernel.mount(tdx);

  EXPECT_EQ((*probe(kernel))->own_report()->family, TeeFamily::kTdx);
}

TEST(ProbeTest, ADeviceThatMayNotBeOpenedIsNotPassedOver) {
  FakeSevGuest snp;
  snp.open_error = EACCES;
  FakeTdxGuest tdx;
  FakeKernel kernel;
  kernel.mount(snp);
  kernel.mount(tdx);

  const auto denied = probe(kernel);
  ASSERT_EQ(error_code(denied), base::ErrorCode::kDenied);
  EXPECT_THAT(denied.error().message, AllOf(HasSubstr("/dev/sev-guest"), HasSubstr("udev rule")));

  snp.open_error = EBUSY;
  EXPECT_EQ(error_code(probe(kernel)), base::ErrorCode::kUnavailable);
  snp.open_error = EIO;
  EXPECT_EQ(error_code(probe(kernel)), base::ErrorCode::kIo);
}

}  // namespace
}  // namespace vtpm::tee
