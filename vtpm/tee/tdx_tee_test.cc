// SPDX-License-Identifier: Apache-2.0
#include "vtpm/tee/tdx_tee.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>

#include "keybroker/evidence/td_quote.h"
#include "tests/support/error_code.h"
#include "tests/support/fake_tee_devices.h"

namespace vtpm::tee {
namespace {

using ::testing::HasSubstr;
using tests::support::error_code;
using tests::support::FakeKernel;
using tests::support::FakeTdxGuest;
using tests::support::FakeTsm;

// A TD whose driver and module do all that is asked. Each test spoils one thing about them.
class TdxTeeTest : public ::testing::Test {
 protected:
  TdxTeeTest()
      : tsm_("tdx_guest", [this](base::ByteView inblob, unsigned) {
          keybroker::evidence::TdQuote quote;
          if (keeps_report_data_) {
            std::ranges::copy(inblob, quote.body.report_data.begin());
          }
          return FakeTsm::Answer{.report = encode(quote)};
        }) {
    kernel_.mount(device_);
    kernel_.mount(tsm_);
  }

  TdxTee tee() { return TdxTee::using_device(KernelFile::open(kernel_, kTdxDevice, O_RDWR)); }

  template <typename T>
  static void expect_error(const base::Result<T>& result, base::ErrorCode code,
                           const std::string& why) {
    ASSERT_EQ(error_code(result), code) << why;
    EXPECT_THAT(result.error().message, HasSubstr(why));
  }

  FakeKernel kernel_;
  FakeTdxGuest device_;
  FakeTsm tsm_;
  bool keeps_report_data_ = true;
};

TEST_F(TdxTeeTest, ReadsItsOwnReport) {
  auto tdx = tee();

  const auto own = tdx.own_report();

  ASSERT_TRUE(own) << own.error().message;
  EXPECT_EQ(own->family, TeeFamily::kTdx);
  EXPECT_FALSE(own->simulated);
  EXPECT_EQ(own->measurement, device_.report.mr_td);
  EXPECT_EQ(own->launch_digest.bytes, device_.report.mr_config_id);
}

TEST_F(TdxTeeTest, AReportForSomethingElseIsNone) {
  auto tdx = tee();
  device_.keeps_report_data = false;
  expect_error(tdx.own_report(), base::ErrorCode::kIo, "other report data");
  keeps_report_data_ = false;
  ReportData report_data{};
  report_data.fill(std::byte{1});
  expect_error(tdx.report(report_data), base::ErrorCode::kIo, "other report data");
}

TEST_F(TdxTeeTest, GetsItsQuoteThroughConfigfs) {
  ReportData report_data{};
  report_data.fill(std::byte{0x77});
  auto tdx = tee();

  const auto evidence = tdx.report(report_data);

  ASSERT_TRUE(evidence) << evidence.error().message;
  EXPECT_EQ(keybroker::evidence::decode_td_quote(evidence->report)->body.report_data, report_data);
}

TEST_F(TdxTeeTest, SaysThatMainlineKernelsHaveNoSealKeys) {
  auto tdx = tee();

  const auto key = tdx.derive_key({});

  expect_error(key, base::ErrorCode::kUnavailable, "TDX seal keys are unsupported by this kernel");
  EXPECT_EQ(device_.calls, 1);
}

TEST_F(TdxTeeTest, DerivesAKeyWhereTheKernelHandsTheCallThrough) {
  device_.has_key_get = true;
  KeyBinding binding;
  binding.svn[0] = std::byte{6};
  auto tdx = tee();

  const auto key = tdx.derive_key(binding);

  ASSERT_TRUE(key) << key.error().message;
  EXPECT_EQ(base::to_hex(key->expose()), base::to_hex(device_.key));
  EXPECT_EQ(device_.key_request.key_policy.value(), 0x19U);
  EXPECT_EQ(device_.key_request.tee_tcb_svn[0], std::byte{6});
}

TEST_F(TdxTeeTest, NamesWhatTheModuleSaysOfAKey) {
  device_.has_key_get = true;
  auto tdx = tee();
  device_.key_status = 0xC000010000000030;
  expect_error(tdx.derive_key({}), base::ErrorCode::kDenied, "0xc000010000000030");
  device_.key_status = 0x8000020300000000;
  expect_error(tdx.derive_key({}), base::ErrorCode::kIo, "status 0x8000020300000000");
  device_.key_status = 0;
  device_.key.fill(std::byte{0});
  expect_error(tdx.derive_key({}), base::ErrorCode::kIo, "an all-zero key");
  expect_error(tdx.derive_key({.scheme = KeyScheme::kOpenHclSigner, .svn = {}}),
               base::ErrorCode::kDenied, "'signer'");
}

TEST_F(TdxTeeTest, TriesAgainWhatWasInterruptedAndNothingElse) {
  auto tdx = tee();
  device_.errors = {EIO};
  expect_error(tdx.own_report(), base::ErrorCode::kIo, "Input/output error");
  EXPECT_EQ(device_.calls, 1);

  device_.errors.assign(10, EBUSY);
  expect_error(tdx.own_report(), base::ErrorCode::kUnavailable, "stays busy");
  EXPECT_EQ(device_.calls, 11);

  device_.errors = {EINTR, EBUSY};
  EXPECT_TRUE(tdx.own_report());
  EXPECT_TRUE(tdx.own_report());  // which is remembered
  EXPECT_EQ(device_.calls, 14);
}

TEST_F(TdxTeeTest, NoticesAKernelThatWritesTooMuch) {
  device_.has_key_get = true;
  device_.overrun = 1;
  auto tdx = tee();

  expect_error(tdx.own_report(), base::ErrorCode::kIo, "wrote past the buffer");
  expect_error(tdx.derive_key({}), base::ErrorCode::kIo, "wrote past the buffer");
}

}  // namespace
}  // namespace vtpm::tee
