// SPDX-License-Identifier: Apache-2.0
#include "vtpm/tee/key_request.h"

#include <gtest/gtest.h>

#include "tests/support/error_code.h"

namespace vtpm::tee {
namespace {

Svn counting_svn() {
  Svn svn{};
  for (std::size_t i = 0; i < svn.size(); ++i) {
    svn[i] = static_cast<std::byte>(i + 1);
  }
  return svn;
}

std::string snp_hex(KeyScheme scheme) {
  return base::to_hex(base::view(snp_key_request({.scheme = scheme, .svn = counting_svn()})));
}

std::string tdx_hex(KeyScheme scheme) {
  return base::to_hex(base::view(*tdx_key_request({.scheme = scheme, .svn = counting_svn()})));
}

TEST(KeyRequestTest, SnpMixesPolicyMeasurementAndTcb) {
  const std::string hash =
      "00000000"
      "00000000"
      "2900000000000000"
      "00000000"
      "00000000"
      "0102030405060708";
  EXPECT_EQ(snp_hex(KeyScheme::kSealedKeys), hash);
  EXPECT_EQ(snp_hex(KeyScheme::kOpenHclHash), hash);
  EXPECT_EQ(snp_hex(KeyScheme::kOpenHclSigner).substr(16, 16), "2100000000000000");
}

TEST(KeyRequestTest, TdxMixesItsRegistersAndTheDebugAttribute) {
  const std::string svns =
      "1112131415161718191a1b1c1d1e1f20"
      "0102030405060708090a0b0c0d0e0f10";
  // "VMSEAL-1" and "TDXHWSEAL", then zero up to the end.
  EXPECT_EQ(tdx_hex(KeyScheme::kSealedKeys),
            "0000"
            "00"
            "01"
            "00000000"
            "1900000000000000"
            "0100000000000000"
            "0000000000000000" +
                svns +
                "000000000000"
                "564d5345414c2d31" +
                std::string(2 * (24 + 26), '0'));
  EXPECT_EQ(tdx_hex(KeyScheme::kOpenHclHash),
            "0000"
            "00"
            "01"
            "00000000"
            "0100000000000000"
            "0000000000000000"
            "0000000000000000" +
                svns +
                "000000000000"
                "5444584857534541"
                "4c" +
                std::string(2 * (23 + 26), '0'));
}

TEST(KeyRequestTest, TdxHasNoSigner) {
  const auto request = tdx_key_request({.scheme = KeyScheme::kOpenHclSigner, .svn = {}});

  EXPECT_EQ(tests::support::error_code(request), base::ErrorCode::kDenied);
}

TEST(OwnReportTest, ReadsAnSnpReport) {
  keybroker::evidence::SnpReport report;
  report.policy = 0xB0000;
  report.measurement.fill(std::byte{1});
  report.host_data.fill(std::byte{2});
  report.committed_tcb.fill(std::byte{3});
  report.reported_tcb.fill(std::byte{4});
  report.cpu = keybroker::evidence::SnpCpu{.family = 0x1A};

  const auto own = own_report_of(report);

  EXPECT_EQ(own.family, TeeFamily::kSevSnp);
  EXPECT_FALSE(own.simulated);
  EXPECT_TRUE(own.debug);
  EXPECT_EQ(own.measurement, report.measurement);
  EXPECT_EQ(base::to_hex(own.launch_digest.bytes),
            base::to_hex(report.host_data) + std::string(32, '0'));
  EXPECT_EQ(base::to_hex(own.committed_svn), "0303030303030303" + std::string(48, '0'));
  EXPECT_EQ(base::to_hex(own.reported_svn), "0404040404040404" + std::string(48, '0'));
  EXPECT_EQ(own.svn_layout, SvnLayout::kSnpTurin);

  report.cpu.reset();
  EXPECT_EQ(own_report_of(report).svn_layout, SvnLayout::kSnp);
}

TEST(OwnReportTest, ReadsATdReport) {
  keybroker::evidence::TdReport report;
  report.attributes = 0x10000001;
  report.mr_td.fill(std::byte{1});
  report.mr_config_id.fill(std::byte{2});
  report.tee_tcb_svn.fill(std::byte{3});
  report.cpu_svn.fill(std::byte{4});

  const auto own = own_report_of(report);

  EXPECT_EQ(own.family, TeeFamily::kTdx);
  EXPECT_TRUE(own.debug);
  EXPECT_EQ(own.policy, 0x10000001U);
  EXPECT_EQ(own.measurement, report.mr_td);
  EXPECT_EQ(own.launch_digest.bytes, report.mr_config_id);
  EXPECT_EQ(base::to_hex(own.committed_svn),
            "03030303030303030303030303030303"
            "04040404040404040404040404040404");
  EXPECT_EQ(own.reported_svn, own.committed_svn);
}

TEST(DescribeTest, ReadsAnSvnByItsLayout) {
  EXPECT_EQ(describe(counting_svn(), SvnLayout::kSnp), "boot loader 1, TEE 2, SNP 7, microcode 8");
  EXPECT_EQ(describe(counting_svn(), SvnLayout::kSnpTurin),
            "FMC 1, boot loader 2, TEE 3, SNP 4, microcode 8");
  EXPECT_EQ(describe(counting_svn(), SvnLayout::kTdx),
            "TEE_TCB_SVN 0102030405060708090a0b0c0d0e0f10, CPUSVN "
            "1112131415161718191a1b1c1d1e1f20");
}

}  // namespace
}  // namespace vtpm::tee
