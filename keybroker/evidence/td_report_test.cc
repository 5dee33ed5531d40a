// SPDX-License-Identifier: Apache-2.0
#include "keybroker/evidence/td_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/error_code.h"
#include "tests/support/evidence_vectors.h"

namespace keybroker::evidence {
namespace {

using ::testing::HasSubstr;

// A report that the format accepts. Each test spoils one thing about it.
TdReportLayout valid_report() {
  TdReportLayout raw{};
  raw.tee = 0x81;
  raw.mr_td.fill(std::byte{0x11});
  raw.mr_config_id.fill(std::byte{0x22});
  raw.tee_tcb_svn[0] = std::byte{3};
  fill_inner_hashes(raw);
  return raw;
}

void expect_corrupt(const TdReportLayout& raw, const std::string& why) {
  const auto report = decode_td_report(base::view(raw));
  ASSERT_EQ(tests::support::error_code(report), base::ErrorCode::kCorrupt) << why;
  EXPECT_THAT(report.error().message, HasSubstr(why));
}

TEST(TdReportTest, AcceptsAReportWhoseHashesFit) {
  const auto raw = valid_report();

  const auto report = decode_td_report(base::view(raw));

  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(report->mr_td, raw.mr_td);
  EXPECT_EQ(report->mr_config_id, raw.mr_config_id);
  EXPECT_FALSE(report->debug());
}

TEST(TdReportTest, SeesTheDebugAttribute) {
  auto raw = valid_report();
  raw.attributes = 1;
  fill_inner_hashes(raw);

  EXPECT_TRUE(decode_td_report(base::view(raw))->debug());
}

TEST(TdReportTest, RejectsOtherTypesSizesAndReservedBytes) {
  auto raw = valid_report();
  raw.tee = 0;
  expect_corrupt(raw, "type 0.0.0");
  raw = valid_report();
  raw.version = 2;
  expect_corrupt(raw, "type 129.0.2");
  raw = valid_report();
  raw.subtype = 1;
  expect_corrupt(raw, "type 129.1.0");
  raw = valid_report();
  raw.reserved_c0[31] = std::byte{1};
  expect_corrupt(raw, "reserved");
  raw = valid_report();
  raw.extension[63] = std::byte{1};
  fill_inner_hashes(raw);
  expect_corrupt(raw, "reserved");

  const auto bytes = base::copy_of(base::view(valid_report()));
  EXPECT_FALSE(decode_td_report(base::ByteView(bytes).first(1023)));
}

TEST(TdReportTest, RejectsEachPartThatItsHashDoesNotCover) {
  auto raw = valid_report();
  raw.tee_tcb_svn[0] = std::byte{4};
  expect_corrupt(raw, "TEE_TCB_INFO");

  raw = valid_report();
  raw.mr_config_id[47] = std::byte{0};
  expect_corrupt(raw, "TDINFO");
}

using TdReportVectorsTest = tests::support::EvidenceVectors;

TEST_F(TdReportVectorsTest, ACapturedReportDecodes) {
  const auto report = decode_td_report(tests::support::read_evidence_vector("tdx/tdreport.bin"));

  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(base::to_hex(report->cpu_svn), "0303191b04ff00060000000000000000");
  EXPECT_EQ(base::to_hex(report->tee_tcb_svn), "0a010300000000000000000000000000");
  EXPECT_EQ(base::to_hex(report->mr_seam),
            "27b67e0b20508f0acfb8a99df4283a7c86ae569d85d556a91d4eb20e56b5d42d5e65b31a3a6996e8e461f1"
            "04f32fdeec");
  EXPECT_EQ(base::to_hex(report->mr_td),
            "eea8b6a814569a52bd1e12f6b869bb2d9c0c8a7a43e658ffc3b42c199f116157ea7f04d359c7fdfd8ac483"
            "152cc13542");
  EXPECT_EQ(base::to_hex(report->rtmr[2]),
            "4070333e094dec303a5034cc332c969780f9e65e48251331da55f08f8f7d19053444a43d3ff44bd2c97b67"
            "2527b95e2d");
  EXPECT_EQ(report->attributes, 0x10000000U);
  EXPECT_EQ(report->xfam, 0x602e7U);
  EXPECT_FALSE(report->debug());
}

}  // namespace
}  // namespace keybroker::evidence
