// SPDX-License-Identifier: Apache-2.0
#include "vtpm/tee/tsm_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>

#include "tests/support/error_code.h"
#include "tests/support/fake_tee_devices.h"
#include "vmgs/base/cursor.h"

namespace vtpm::tee {
namespace {

using ::testing::HasSubstr;
using tests::support::error_code;
using tests::support::FakeKernel;
using tests::support::FakeTsm;

// The report of this provider is the privilege level and then what it was asked.
FakeTsm::Answer echo(base::ByteView inblob, unsigned privlevel) {
  base::Writer report;
  report.u8(static_cast<std::uint8_t>(privlevel));
  report.bytes(inblob);
  return {.error = 0,
          .report = std::move(report).take(),
          .auxiliary = base::copy_of(base::bytes_of("certificates"))};
}

class TsmReportTest : public ::testing::Test {
 protected:
  TsmReportTest()
      : tsm_("tdx_guest", [this](base::ByteView inblob, unsigned privlevel) {
          ++asked_;
          if (!answers_.empty()) {
            const int error = answers_.front();
            answers_.pop_front();
            if (error != 0) {
              return FakeTsm::Answer{.error = error};
            }
          }
          return echo(inblob, privlevel);
        }) {
    kernel_.mount(tsm_);
    request_.report_data.fill(std::byte{0x77});
    request_.provider = "tdx_guest";
  }

  base::Result<TsmReport> ask() { return tsm_report(kernel_, request_); }

  void expect_error(base::ErrorCode code, const std::string& why) {
    const auto report = ask();
    ASSERT_EQ(error_code(report), code) << why;
    EXPECT_THAT(report.error().message, HasSubstr(why));
    EXPECT_EQ(tsm_.folders(), 0U);
    EXPECT_EQ(kernel_.open_files(), 0U);
  }

  FakeKernel kernel_;
  FakeTsm tsm_;
  TsmRequest request_;
  std::deque<int> answers_;
  int asked_ = 0;
};

TEST_F(TsmReportTest, AsksInAFolderOfItsOwnAndRemovesIt) {
  const auto report = ask();

  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(report->report.size(), 65U);
  EXPECT_EQ(report->report[64], std::byte{0x77});
  EXPECT_TRUE(report->auxiliary.empty());
  EXPECT_EQ(tsm_.folders(), 0U);
  EXPECT_EQ(kernel_.open_files(), 0U);
}

TEST_F(TsmReportTest, TakesTheAuxiliaryBlobWhereThereIsOne) {
  tsm_.has_auxiliary = true;

  EXPECT_EQ(ask()->auxiliary, base::copy_of(base::bytes_of("certificates")));
}

TEST_F(TsmReportTest, NamesThePrivilegeLevel) {
  tsm_.privlevel_floor = 1;
  request_.privlevel = 2;

  EXPECT_EQ(ask()->report[0], std::byte{2});
}

TEST_F(TsmReportTest, RefusesALevelBelowTheFloorOrAboveAll) {
  tsm_.privlevel_floor = 2;
  request_.privlevel = 1;
  expect_error(base::ErrorCode::kDenied, "privilege level 2 and above, not 1");
  request_.privlevel = 4;
  expect_error(base::ErrorCode::kIo, "privlevel");
}

TEST_F(TsmReportTest, RefusesAnotherProvider) {
  request_.provider = "sev_guest";

  expect_error(base::ErrorCode::kDenied, "served by 'tdx_guest', this VM needs 'sev_guest'");
  EXPECT_EQ(asked_, 0);
}

TEST_F(TsmReportTest, AsksAnewWhenSomebodyElseWroteInBetween) {
  tsm_.intruders = 2;

  const auto report = ask();

  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(report->report[64], std::byte{0x77});
  EXPECT_EQ(asked_, 3);
}

TEST_F(TsmReportTest, GivesUpOnASomebodyWhoNeverStops) {
  tsm_.intruders = 1000;

  expect_error(base::ErrorCode::kUnavailable, "somebody else writes");
  EXPECT_EQ(asked_, 10);
}

TEST_F(TsmReportTest, TriesABusyProviderAgain) {
  answers_ = {EBUSY, EINTR, EAGAIN, 0};

  EXPECT_TRUE(ask());
  EXPECT_EQ(kernel_.waits.size(), 3U);
}

TEST_F(TsmReportTest, TriesAConflictingWriteAgain) {
  tsm_.write_errors["inblob"] = {EBUSY};

  EXPECT_TRUE(ask());
}

TEST_F(TsmReportTest, NamesWhatIsMissing) {
  tsm_.mkdir_error = ENOENT;
  expect_error(base::ErrorCode::kUnavailable, "Linux 6.7 or later with configfs mounted");
  tsm_.mkdir_error = ENXIO;
  expect_error(base::ErrorCode::kUnavailable, "load tdx-guest or sev-guest");
  tsm_.mkdir_error = EACCES;
  expect_error(base::ErrorCode::kDenied, "only root may use configfs-tsm");
}

TEST_F(TsmReportTest, NamesFailuresOfTheReport) {
  answers_ = {EIO};
  expect_error(base::ErrorCode::kIo, "outblob: Input/output error");
  answers_ = {ENOTTY};
  expect_error(base::ErrorCode::kUnavailable, "no TEE driver is registered");
  answers_ = {ETIMEDOUT};
  expect_error(base::ErrorCode::kUnavailable, "stays busy");
  tsm_.most_bytes = 10;
  expect_error(base::ErrorCode::kIo, "larger than this kernel hands out");
}

}  // namespace
}  // namespace vtpm::tee
