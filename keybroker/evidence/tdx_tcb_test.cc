// SPDX-License-Identifier: Apache-2.0
#include "keybroker/evidence/tdx_tcb.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace keybroker::evidence {
namespace {

using ::testing::ElementsAre;

Svns svns(std::initializer_list<std::uint8_t> values) {
  Svns result{};
  std::copy(values.begin(), values.end(), result.begin());
  return result;
}

std::array<std::byte, 16> tee_tcb_svn(std::uint8_t minor, std::uint8_t major, std::uint8_t seam) {
  return {std::byte{minor}, std::byte{major}, std::byte{seam}};
}

TcbVerdict verdict(TcbStatus status, const char* date = "2024-01-01T00:00:00Z",
                   std::vector<std::string> advisories = {}) {
  return {status, *crypto::parse_time(date), std::move(advisories)};
}

// Three levels of a platform and modules of versions 1 and 3, the newest first.
TcbInfo info() {
  TcbInfo info;
  info.levels = {
      {svns({3, 3}), 13, svns({5, 0, 3}), verdict(TcbStatus::kUpToDate)},
      {svns({2, 2}), 13, svns({5, 0, 2}), verdict(TcbStatus::kOutOfDate)},
      {svns({1, 1}), 5, svns({3, 0, 1}), verdict(TcbStatus::kRevoked)},
  };
  info.modules = {
      {1, {}, {{6, verdict(TcbStatus::kUpToDate)}, {4, verdict(TcbStatus::kOutOfDate)}}},
      {3, {}, {{3, verdict(TcbStatus::kUpToDate)}, {2, verdict(TcbStatus::kRevoked)}}},
  };
  return info;
}

crypto::SgxTcb pck(std::uint8_t first = 3, std::uint8_t second = 3, std::uint16_t pce_svn = 13) {
  crypto::SgxTcb tcb;
  tcb.components = svns({first, second});
  tcb.pce_svn = pce_svn;
  return tcb;
}

TdQuoteBodyLayout body(const std::array<std::byte, 16>& svn) {
  TdQuoteBodyLayout body{};
  body.tee_tcb_svn = svn;
  return body;
}

std::string platform(const crypto::SgxTcb& tcb, const std::array<std::byte, 16>& svn) {
  const auto levels = platform_levels(tcb, body(svn), info());
  return std::string(levels.tdx ? name(levels.tdx->status) : card(levels.finding->reason).code);
}

std::string module(const std::array<std::byte, 16>& svn) {
  const auto level = module_level(body(svn), info());
  return std::string(level.verdict ? name(level.verdict->status)
                                   : card(level.finding->reason).code);
}

TEST(TdxTcbTest, APlatformHasTheFirstLevelItMeetsInEveryComponent) {
  EXPECT_EQ(platform(pck(), tee_tcb_svn(5, 0, 3)), "UpToDate");
  EXPECT_EQ(platform(pck(2, 9), tee_tcb_svn(5, 0, 3)), "OutOfDate");
  EXPECT_EQ(platform(pck(9, 2), tee_tcb_svn(5, 0, 3)), "OutOfDate");
  EXPECT_EQ(platform(pck(3, 3, 12), tee_tcb_svn(5, 0, 3)), "Revoked");
  EXPECT_EQ(platform(pck(3, 3, 4), tee_tcb_svn(5, 0, 3)), "tdx-tcb-unsupported");
  EXPECT_EQ(platform(pck(0, 9), tee_tcb_svn(5, 0, 3)), "tdx-tcb-unsupported");
  EXPECT_EQ(platform(pck(), tee_tcb_svn(5, 0, 2)), "OutOfDate");
  EXPECT_EQ(platform(pck(), tee_tcb_svn(4, 0, 3)), "Revoked");
  EXPECT_EQ(platform(pck(), tee_tcb_svn(2, 0, 3)), "tdx-tcb-unsupported");
}

// The module's identity covers components 0 and 1 from version 1 on; a later component still
// counts.
TEST(TdxTcbTest, ModuleComponentsAreSkippedOnlyFromVersionOneOn) {
  EXPECT_EQ(platform(pck(), tee_tcb_svn(0, 1, 3)), "UpToDate");
  EXPECT_EQ(platform(pck(), tee_tcb_svn(0, 1, 2)), "OutOfDate");
  EXPECT_EQ(platform(pck(), tee_tcb_svn(0, 1, 0)), "tdx-tcb-unsupported");
  EXPECT_EQ(platform(pck(), tee_tcb_svn(0, 0, 3)), "tdx-tcb-unsupported");
}

TEST(TdxTcbTest, AModuleHasTheFirstLevelOfItsOwnVersion) {
  EXPECT_EQ(module(tee_tcb_svn(6, 1, 0)), "UpToDate");
  EXPECT_EQ(module(tee_tcb_svn(5, 1, 0)), "OutOfDate");
  EXPECT_EQ(module(tee_tcb_svn(3, 1, 0)), "tdx-module-unsupported");
  EXPECT_EQ(module(tee_tcb_svn(3, 3, 0)), "UpToDate");
  EXPECT_EQ(module(tee_tcb_svn(2, 3, 0)), "Revoked");
  EXPECT_EQ(module(tee_tcb_svn(9, 2, 0)), "tdx-module-unknown");
  EXPECT_EQ(module(tee_tcb_svn(0, 0, 0)), "UpToDate");
}

TEST(TdxTcbTest, AModuleIsComparedWithItsSigner) {
  auto with = info();
  auto td = body(tee_tcb_svn(6, 1, 3));
  td.mr_signer_seam[0] = std::byte{1};
  EXPECT_EQ(module_level(td, with).finding->reason, Reason::kTdxModuleMismatch);
  with.modules[0].signer.mr_signer[0] = std::byte{1};
  EXPECT_TRUE(module_level(td, with).verdict);

  with.modules[0].signer.attributes_mask = 0xFF;
  td.seam_attributes = 1;
  EXPECT_EQ(module_level(td, with).finding->reason, Reason::kTdxModuleMismatch);
  with.modules[0].signer.attributes = 1;
  EXPECT_TRUE(module_level(td, with).verdict);

  td.tee_tcb_svn = tee_tcb_svn(6, 0, 3);
  EXPECT_EQ(module_level(td, with).finding->reason, Reason::kTdxModuleMismatch);
}

TEST(TdxTcbTest, AQuotingEnclaveIsComparedUnderMasks) {
  QeIdentity identity;
  identity.attributes[0] = std::byte{0x11};
  identity.attributes_mask[0] = std::byte{0xFB};
  identity.misc_select_mask.fill(std::byte{0xFF});
  identity.isv_prod_id = 2;
  identity.levels = {{6, verdict(TcbStatus::kUpToDate)}, {4, verdict(TcbStatus::kOutOfDate)}};
  QeReportLayout report{};
  report.attributes[0] = std::byte{0x15};
  report.isv_prod_id = 2;
  report.isv_svn = 6;
  const auto reason = [&] {
    const auto level = qe_level(report, identity);
    return std::string(level.verdict ? name(level.verdict->status)
                                     : card(level.finding->reason).code);
  };

  EXPECT_EQ(reason(), "UpToDate");
  report.isv_svn = 5;
  EXPECT_EQ(reason(), "OutOfDate");
  report.isv_svn = 3;
  EXPECT_EQ(reason(), "tdx-qe-unsupported");
  report.isv_svn = 6;
  report.attributes[0] = std::byte{0x17};  // DEBUG
  EXPECT_EQ(reason(), "tdx-qe-mismatch");
  report.attributes[0] = std::byte{0x15};
  report.misc_select = 1;
  EXPECT_EQ(reason(), "tdx-qe-mismatch");
  report.misc_select = 0;
  report.mr_signer[31] = std::byte{1};
  EXPECT_EQ(reason(), "tdx-qe-mismatch");
  report.mr_signer[31] = std::byte{0};
  report.isv_prod_id = 1;
  EXPECT_EQ(reason(), "tdx-qe-mismatch");
}

constexpr std::array kDocumentStatuses{TcbStatus::kUpToDate,
                                       TcbStatus::kSwHardeningNeeded,
                                       TcbStatus::kConfigurationNeeded,
                                       TcbStatus::kConfigurationAndSwHardeningNeeded,
                                       TcbStatus::kOutOfDate,
                                       TcbStatus::kOutOfDateConfigurationNeeded,
                                       TcbStatus::kRevoked};

std::string combined(TcbStatus platform, TcbStatus module, TcbStatus qe) {
  PlatformLevels levels;
  levels.sgx = levels.tdx = verdict(platform);
  return std::string(
      name(summarise(levels, verdict(module), verdict(qe), std::nullopt, info()).status));
}

// One verifier returns the module's status in place of the platform's. Here each part is seen.
TEST(TdxTcbTest, NoPartHidesAnother) {
  for (const auto status : kDocumentStatuses) {
    EXPECT_EQ(combined(status, TcbStatus::kUpToDate, TcbStatus::kUpToDate), name(status));
    EXPECT_EQ(combined(status, TcbStatus::kRevoked, TcbStatus::kUpToDate), "Revoked");
    EXPECT_EQ(combined(status, TcbStatus::kUpToDate, TcbStatus::kRevoked), "Revoked");
    for (const bool module_is_old : {true, false}) {
      const auto result =
          combined(status, module_is_old ? TcbStatus::kOutOfDate : TcbStatus::kUpToDate,
                   module_is_old ? TcbStatus::kUpToDate : TcbStatus::kOutOfDate);
      switch (status) {
        case TcbStatus::kUpToDate:
        case TcbStatus::kSwHardeningNeeded:
          EXPECT_EQ(result, "OutOfDate");
          break;
        case TcbStatus::kConfigurationNeeded:
        case TcbStatus::kConfigurationAndSwHardeningNeeded:
          EXPECT_EQ(result, "OutOfDateConfigurationNeeded");
          break;
        default:
          EXPECT_EQ(result, name(status));
      }
    }
  }
  EXPECT_EQ(combined(TcbStatus::kUpToDate, TcbStatus::kUpToDate, TcbStatus::kConfigurationNeeded),
            "ConfigurationNeeded");
}

TEST(TdxTcbTest, ARevokedProcessorLevelRevokesThePlatform) {
  PlatformLevels levels;
  levels.sgx = verdict(TcbStatus::kRevoked);
  levels.tdx = verdict(TcbStatus::kUpToDate);
  const auto good = verdict(TcbStatus::kUpToDate);
  EXPECT_EQ(summarise(levels, good, good, std::nullopt, info()).status, TcbStatus::kRevoked);
}

struct Relaunch {
  TcbStatus sgx = TcbStatus::kUpToDate;
  TcbStatus tdx = TcbStatus::kUpToDate;
  TcbStatus module = TcbStatus::kOutOfDate;
  TcbStatus qe = TcbStatus::kUpToDate;
  std::array<std::byte, 16> svn2 = tee_tcb_svn(6, 1, 3);
};

std::string relaunched(const Relaunch& input) {
  PlatformLevels levels;
  levels.sgx = verdict(input.sgx);
  levels.tdx = verdict(input.tdx);
  TdQuoteBody15Layout body_15{};
  body_15.tee_tcb_svn2 = input.svn2;
  return std::string(
      name(summarise(levels, verdict(input.module), verdict(input.qe), body_15, info()).status));
}

TEST(TdxTcbTest, ATdThatOnlyStartedUnderAnOldModuleIsToldToRelaunch) {
  EXPECT_EQ(relaunched({}), "TDRelaunchAdvised");
  EXPECT_EQ(relaunched({.svn2 = tee_tcb_svn(5, 1, 3)}), "OutOfDate");
  EXPECT_EQ(relaunched({.svn2 = tee_tcb_svn(6, 1, 2)}), "OutOfDate");
  EXPECT_EQ(relaunched({.svn2 = tee_tcb_svn(3, 3, 3)}), "TDRelaunchAdvised");
  EXPECT_EQ(relaunched({.svn2 = tee_tcb_svn(9, 2, 3)}), "OutOfDate");
  EXPECT_EQ(relaunched({.svn2 = tee_tcb_svn(5, 0, 3)}), "TDRelaunchAdvised");
  EXPECT_EQ(relaunched({.svn2 = tee_tcb_svn(4, 0, 3)}), "OutOfDate");

  EXPECT_EQ(relaunched({.tdx = TcbStatus::kSwHardeningNeeded}), "TDRelaunchAdvised");
  EXPECT_EQ(relaunched({.tdx = TcbStatus::kConfigurationNeeded}),
            "TDRelaunchAdvisedConfigurationNeeded");
  EXPECT_EQ(relaunched({.sgx = TcbStatus::kConfigurationNeeded}),
            "TDRelaunchAdvisedConfigurationNeeded");
  EXPECT_EQ(relaunched({.sgx = TcbStatus::kOutOfDate}), "OutOfDate");
  EXPECT_EQ(relaunched({.module = TcbStatus::kUpToDate}), "UpToDate");
  EXPECT_EQ(relaunched({.qe = TcbStatus::kOutOfDate}), "OutOfDate");
  EXPECT_EQ(relaunched({.qe = TcbStatus::kRevoked}), "Revoked");
  EXPECT_EQ(relaunched({.tdx = TcbStatus::kRevoked}), "Revoked");
}

TEST(TdxTcbTest, SummariesNameTheOldestDateAndEveryAdvisoryOnce) {
  PlatformLevels levels;
  levels.sgx = verdict(TcbStatus::kUpToDate);
  levels.tdx = verdict(TcbStatus::kOutOfDate, "2024-03-01T00:00:00Z", {"B", "A"});
  const auto summary =
      summarise(levels, verdict(TcbStatus::kOutOfDate, "2023-08-09T00:00:00Z", {"C"}),
                verdict(TcbStatus::kUpToDate, "2025-01-01T00:00:00Z", {"A"}), std::nullopt, info());
  EXPECT_EQ(crypto::to_text(summary.date), "2023-08-09T00:00:00Z");
  EXPECT_THAT(summary.advisories, ElementsAre("A", "B", "C"));
}

TEST(TcbStatusTest, DocumentsCannotAdviseToRelaunch) {
  for (const auto status : kDocumentStatuses) {
    EXPECT_EQ(parse_document_status(name(status)), status);
  }
  EXPECT_TRUE(parse_tcb_status("TDRelaunchAdvised"));
  EXPECT_FALSE(parse_document_status("TDRelaunchAdvised"));
  EXPECT_FALSE(parse_tcb_status("upToDate"));
  EXPECT_FALSE(parse_tcb_status(""));
}

}  // namespace
}  // namespace keybroker::evidence
