// SPDX-License-Identifier: Apache-2.0
#include "keybroker/evidence/hcl_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "keybroker/evidence/snp_report.h"
#include "keybroker/protocol/runtime_claims.h"
#include "tests/support/error_code.h"
#include "tests/support/evidence_vectors.h"

namespace keybroker::evidence {
namespace {

using ::testing::HasSubstr;

// A report of our own. Each test spoils one thing about its bytes.
HclReport snp_report() {
  HclReport report;
  report.type = HclReportType::kSnp;
  report.hardware_report = base::Bytes(kSnpReportBytes, std::byte{0x5A});
  report.claims = R"({"keys":[]})";
  return report;
}

HclReport tdx_report() {
  auto report = snp_report();
  report.type = HclReportType::kTdx;
  report.hardware_report.resize(1024);
  return report;
}

void expect_corrupt(const base::Bytes& bytes, const std::string& why) {
  const auto report = decode_hcl_report(bytes);
  ASSERT_EQ(tests::support::error_code(report), base::ErrorCode::kCorrupt) << why;
  EXPECT_THAT(report.error().message, HasSubstr(why));
}

base::Bytes with_word(base::Bytes bytes, std::size_t offset, std::uint32_t value) {
  for (std::size_t i = 0; i < 4; ++i) {
    bytes.at(offset + i) = static_cast<std::byte>(value >> (8 * i));
  }
  return bytes;
}

TEST(HclReportTest, RoundTripsEachType) {
  HclReport trusted = snp_report();
  trusted.type = HclReportType::kTrustedVm;
  trusted.hardware_report.clear();
  for (const auto& report : {snp_report(), tdx_report(), trusted}) {
    auto bytes = *encode(report);
    EXPECT_EQ(bytes.size(), 1236 + report.claims.size());
    EXPECT_EQ(*decode_hcl_report(bytes), report);
    bytes.resize(2048);
    EXPECT_EQ(*decode_hcl_report(bytes), report);
    EXPECT_TRUE(has_own_form(bytes));
  }
}

// What real captures do and we do not.
TEST(HclReportTest, ReadsOlderForms) {
  const auto bytes = *encode(snp_report());
  for (const auto& old :
       {with_word(bytes, 4, 1), with_word(bytes, 8, 1184), with_word(bytes, 8, 1024),
        with_word(bytes, 12, 1), with_word(bytes, 16, 7)}) {
    EXPECT_TRUE(decode_hcl_report(old));
    EXPECT_FALSE(has_own_form(old));
  }
  // Request version 2 has a word of capabilities.
  auto request = with_word(with_word(bytes, 1220, 2), 1216, 24 + 11);
  request = with_word(request, 8, static_cast<std::uint32_t>(request.size()) + 4);
  request.insert(request.begin() + 1236, 4, std::byte{0x0F});
  EXPECT_EQ(decode_hcl_report(request)->claims, snp_report().claims);
  EXPECT_FALSE(has_own_form(request));
}

// H2.
TEST(HclReportTest, RefusesSizesThatContradictEachOther) {
  const auto bytes = *encode(snp_report());
  const auto claims = static_cast<std::uint32_t>(snp_report().claims.size());
  for (const auto size : {0U, claims - 1, claims + 1, 0xFFFFFFFFU, 0xFFFFFFECU}) {
    expect_corrupt(with_word(bytes, 1232, size), "bytes and its claims");
  }
  for (const auto size : {claims - 1, claims + 1}) {
    expect_corrupt(with_word(with_word(bytes, 1232, size), 1216, 20 + size), "HCL report");
  }
  expect_corrupt(with_word(with_word(bytes, 1232, 0xFFFFFFEB), 1216, 0xFFFFFFFF), "HCL report");
  expect_corrupt(with_word(with_word(bytes, 1232, 0), 1216, 20), "HCL report");
  for (const auto size : {0U, 1183U, 1236U, 0xFFFFFFFFU}) {
    expect_corrupt(with_word(bytes, 8, size), "it claims");
  }
}

TEST(HclReportTest, RefusesUnknownNumbers) {
  const auto bytes = *encode(snp_report());
  expect_corrupt(with_word(bytes, 0, 0), "begin with HCLA");
  expect_corrupt(with_word(bytes, 4, 3), "header version 3");
  expect_corrupt(with_word(bytes, 12, 4), "request type 4");
  expect_corrupt(with_word(bytes, 1220, 3), "request version 3");
  expect_corrupt(with_word(bytes, 1224, 0), "report type 0");
  expect_corrupt(with_word(bytes, 1224, 6), "report type 6");
  expect_corrupt(with_word(bytes, 1228, 0), "hash type 0");
  expect_corrupt(with_word(bytes, 1228, 4), "hash type 4");
}

TEST(HclReportTest, RefusesEveryCutAndAllButZeroBehindIt) {
  auto bytes = *encode(tdx_report());
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_FALSE(decode_hcl_report(base::ByteView(bytes).first(size))) << size;
  }
  auto more = bytes;
  more.resize(4096);
  more.back() = std::byte{1};
  expect_corrupt(more, "follows its claims");
  bytes[32 + 1024] = std::byte{1};
  expect_corrupt(bytes, "follows its hardware report");
  expect_corrupt(base::Bytes(kMaxHclReportBytes + 1), "at most 131072");
}

TEST(HclReportTest, WritesNothingButItsOwnForm) {
  auto report = snp_report();
  report.version = 1;
  EXPECT_EQ(tests::support::error_code(encode(report)), base::ErrorCode::kInvalidArgument);
  report = snp_report();
  report.hardware_report.pop_back();
  EXPECT_EQ(tests::support::error_code(encode(report)), base::ErrorCode::kInvalidArgument);
  report = snp_report();
  report.hash = crypto::Hash::kSha384;
  EXPECT_EQ(tests::support::error_code(encode(report)), base::ErrorCode::kInvalidArgument);
}

using HclReportVectorsTest = tests::support::EvidenceVectors;

TEST_F(HclReportVectorsTest, ReadsOldCaptures) {
  for (const char* name :
       {"azure/snp-milan-v2.hcl-report.bin", "azure/neg-snp-wrong-vcek.hcl-report.bin"}) {
    const auto bytes = tests::support::read_evidence_vector(name);
    const auto report = decode_hcl_report(bytes);
    ASSERT_TRUE(report) << report.error().message;
    EXPECT_EQ(report->version, 1U);
    EXPECT_EQ(report->type, HclReportType::kSnp);
    EXPECT_TRUE(decode_snp_report(report->hardware_report));
    EXPECT_TRUE(protocol::decode_runtime_claims(report->claims));
    EXPECT_FALSE(has_own_form(bytes));
  }
}

}  // namespace
}  // namespace keybroker::evidence
