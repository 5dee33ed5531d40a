// SPDX-License-Identifier: Apache-2.0
#include "vtpm/tee/snp_tee.h"

#include <fcntl.h>
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

ReportData report_data(unsigned char value = 0x77) {
  ReportData data{};
  data.fill(std::byte{value});
  return data;
}

// A guest whose driver and firmware do all that is asked. Each test spoils one thing about them.
class SnpTeeTest : public ::testing::Test {
 protected:
  SnpTeeTest() { kernel_.mount(device_); }

  SnpTee tee() { return SnpTee::using_device(KernelFile::open(kernel_, kSnpDevice, O_RDWR)); }

  template <typename T>
  static void expect_error(const base::Result<T>& result, base::ErrorCode code,
                           const std::string& why) {
    ASSERT_EQ(error_code(result), code) << why;
    EXPECT_THAT(result.error().message, HasSubstr(why));
  }

  FakeKernel kernel_;
  FakeSevGuest device_;
};

TEST_F(SnpTeeTest, ReadsItsOwnReport) {
  auto snp = tee();

  const auto own = snp.own_report();

  ASSERT_TRUE(own) << own.error().message;
  EXPECT_EQ(own->family, TeeFamily::kSevSnp);
  EXPECT_FALSE(own->simulated);
  EXPECT_EQ(own->measurement, device_.report.measurement);
  EXPECT_EQ(describe(own->committed_svn, own->svn_layout),
            "boot loader 0, TEE 0, SNP 0, microcode 27");
}

TEST_F(SnpTeeTest, AsksForItsOwnReportOnce) {
  auto snp = tee();
  device_.failures = {{.error = EINTR}, {.error = ETIMEDOUT}};
  EXPECT_FALSE(snp.own_report());

  const auto first = snp.own_report();
  const auto second = snp.own_report();

  ASSERT_TRUE(first && second);
  EXPECT_EQ(first->measurement, second->measurement);
  EXPECT_EQ(device_.calls, 3);
}

TEST_F(SnpTeeTest, GivesEvidenceThatCarriesTheReportData) {
  device_.certificates = base::Bytes(3000, std::byte{0x5A});
  auto snp = tee();

  const auto evidence = snp.report(report_data());

  ASSERT_TRUE(evidence) << evidence.error().message;
  const auto report = keybroker::evidence::decode_snp_report(evidence->report);
  ASSERT_TRUE(report);
  EXPECT_EQ(report->report_data, report_data());
  EXPECT_EQ(base::copy_of(base::ByteView(evidence->certificates).first(3000)),
            device_.certificates);
  EXPECT_EQ(device_.calls, 1);
}

TEST_F(SnpTeeTest, AHostWithoutCertificatesGivesAnEmptyTable) {
  auto snp = tee();

  EXPECT_TRUE(snp.report(report_data())->certificates.empty());
}

TEST_F(SnpTeeTest, AsksAgainWithTheRoomThatTheCertificatesNeed) {
  device_.certificates = base::Bytes(9000, std::byte{0x5A});
  auto snp = tee();

  const auto evidence = snp.report(report_data());

  ASSERT_TRUE(evidence) << evidence.error().message;
  EXPECT_EQ(evidence->certificates.size(), 3U * 4096);
  EXPECT_EQ(device_.calls, 2);
}

TEST_F(SnpTeeTest, AHostThatAsksForSenselessRoomIsRefused) {
  for (const std::uint32_t wanted : {0x7FFFF000U, 12289U, 0xFFFFFFFFU}) {
    device_.wanted_bytes = wanted;
    auto snp = tee();
    expect_error(snp.report(report_data()), base::ErrorCode::kIo,
                 "the host wants " + std::to_string(wanted) + " bytes of room");
  }
}

TEST_F(SnpTeeTest, AHostThatAsksForTheRoomItHasIsRefused) {
  device_.failures = {{.error = EIO, .firmware = 0, .vmm = kSnpVmmInvalidLength}};
  auto snp = tee();

  expect_error(snp.report(report_data()), base::ErrorCode::kIo,
               "the host wants 8192 bytes of room for its certificates, where it was given 8192");
}

TEST_F(SnpTeeTest, DerivesAKeyForWhatItIsBoundTo) {
  KeyBinding binding;
  binding.svn[7] = std::byte{27};
  auto snp = tee();

  const auto key = snp.derive_key(binding);

  ASSERT_TRUE(key) << key.error().message;
  EXPECT_EQ(base::to_hex(key->expose()), base::to_hex(device_.key));
  EXPECT_EQ(device_.key_request.guest_field_select.value(), 0x29U);
  EXPECT_EQ(device_.key_request.tcb_version[7], std::byte{27});
}

TEST_F(SnpTeeTest, NamesWhatTheFirmwareSaysOfAKey) {
  auto snp = tee();
  device_.key_status = kSnpInvalidParameter;
  expect_error(snp.derive_key({}), base::ErrorCode::kDenied, "above the committed TCB");
  device_.key_status = kSnpInvalidKeySelection;
  expect_error(snp.derive_key({}), base::ErrorCode::kUnavailable, "INVALID_KEY");
  device_.key_status = 0x17;
  expect_error(snp.derive_key({}), base::ErrorCode::kIo, "status 0x17 RESOURCE_LIMIT");
  device_.key_status = 0;
  device_.key.fill(std::byte{0});
  expect_error(snp.derive_key({}), base::ErrorCode::kIo, "an all-zero key");
}

TEST_F(SnpTeeTest, NamesWhatTheFirmwareSaysOfAReport) {
  auto snp = tee();
  device_.report_status = kSnpInvalidParameter;
  expect_error(snp.own_report(), base::ErrorCode::kIo, "status 0x16 INVALID_PARAM");
  device_.report_status = 0;
  device_.report_bytes = 1185;
  expect_error(snp.own_report(), base::ErrorCode::kIo, "1185 bytes, expected 1184");
  device_.report_bytes = 1184;
  device_.report.version = 9;
  expect_error(snp.own_report(), base::ErrorCode::kCorrupt, "version 9");
}

TEST_F(SnpTeeTest, AReportForSomethingElseIsNone) {
  device_.keeps_report_data = false;
  auto snp = tee();

  expect_error(snp.own_report(), base::ErrorCode::kIo, "other report data");
  expect_error(snp.report(report_data()), base::ErrorCode::kIo, "other report data");
}

TEST_F(SnpTeeTest, WaitsLongerEachTimeTheHostIsBusyAndThenGoesOn) {
  device_.failures = {{.error = EIO, .firmware = 0, .vmm = kSnpVmmBusy},
                      {.error = EAGAIN, .firmware = 0, .vmm = kSnpVmmBusy},
                      {.error = EIO, .firmware = 0, .vmm = kSnpVmmBusy}};
  auto snp = tee();

  EXPECT_TRUE(snp.derive_key({}));

  using std::chrono::milliseconds;
  EXPECT_EQ(kernel_.waits,
            (std::vector<milliseconds>{milliseconds(50), milliseconds(100), milliseconds(200)}));
}

TEST_F(SnpTeeTest, GivesUpOnAHostThatStaysBusy) {
  device_.failures.assign(1000, {.error = EIO, .firmware = 0, .vmm = kSnpVmmBusy});
  auto snp = tee();

  expect_error(snp.own_report(), base::ErrorCode::kUnavailable, "the host throttles it");

  EXPECT_EQ(device_.calls, 10);
  std::chrono::milliseconds waited{0};
  for (const auto wait : kernel_.waits) {
    waited += wait;
  }
  EXPECT_LT(waited, std::chrono::seconds(10));
}

TEST_F(SnpTeeTest, AnInterruptedCallIsMadeAgain) {
  device_.failures = {{.error = EINTR}};
  auto snp = tee();

  EXPECT_TRUE(snp.own_report());
}

TEST_F(SnpTeeTest, AFailureIsNamedAndNotTriedTwice) {
  device_.failures = {{.error = EIO, .firmware = 0x15}};
  auto snp = tee();

  expect_error(snp.derive_key({}), base::ErrorCode::kIo, "firmware error 0x15 UNSUPPORTED");
  EXPECT_EQ(device_.calls, 1);

  // The driver has wiped its message key by now.
  expect_error(snp.derive_key({}), base::ErrorCode::kUnavailable, "start the VM again");
}

TEST_F(SnpTeeTest, NamesFailuresOfHostAndKernel) {
  auto snp = tee();
  const auto failing = [&](const FakeSevGuest::Failure& failure) {
    device_.failures = {failure};
    return snp.own_report();
  };
  expect_error(failing({.error = ETIMEDOUT}), base::ErrorCode::kUnavailable,
               "throttled the request for a minute");
  expect_error(failing({.error = ENOMEM, .firmware = 0xFF}), base::ErrorCode::kIo,
               "Cannot allocate memory");
  expect_error(failing({.error = EIO, .firmware = 0, .vmm = 7}), base::ErrorCode::kIo,
               "VMM error 0x7");
}

TEST_F(SnpTeeTest, NoticesAKernelThatWritesTooMuch) {
  for (const std::size_t overrun : {1U, 64U}) {
    device_.overrun = overrun;
    auto snp = tee();
    expect_error(snp.derive_key({}), base::ErrorCode::kIo, "wrote past the buffer");
    expect_error(snp.own_report(), base::ErrorCode::kIo, "wrote past the buffer");
    expect_error(snp.report(report_data()), base::ErrorCode::kIo, "wrote past the buffer");
  }
}

TEST_F(SnpTeeTest, ClosesItsDevice) {
  {
    auto snp = tee();
    EXPECT_EQ(kernel_.open_files(), 1U);
  }
  EXPECT_EQ(kernel_.open_files(), 0U);
}

}  // namespace
}  // namespace vtpm::tee
