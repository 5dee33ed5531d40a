// SPDX-License-Identifier: Apache-2.0
#include "vtpm/tee_sim/vendor.h"

#include <gtest/gtest.h>

#include "keybroker/evidence/signed_document.h"
#include "keybroker/evidence/snp_certificates.h"
#include "keybroker/evidence/verify.h"
#include "tests/support/simulated_mints.h"
#include "tests/support/temp_folder.h"
#include "vtpm/tee_sim/simulated_snp.h"
#include "vtpm/tee_sim/simulated_tdx.h"

namespace vtpm::tee_sim {
namespace {

namespace evidence = keybroker::evidence;
using tests::support::mint_begin;

// A verifier that has what the vendor of a machine published, and the machine's root, believes a
// report of that machine.
class PublicationTest : public ::testing::Test {
 protected:
  PublicationTest() {
    data_.fill(std::byte{0x42});
    policy_.report_data = evidence::Expectation::one_of({base::copy_of(data_)});
  }

  evidence::Verdict judge(const evidence::Evidence& shown, const evidence::Collateral& collateral,
                          evidence::SlottedRoot root) const {
    return evidence::verify(shown, policy_, collateral,
                            *evidence::TrustStore::simulated(std::span(&root, 1)), mint_begin());
  }

  tests::support::TempFolder temp_;
  MachineFolder folder_ = *MachineFolder::open(temp_ / "machine");
  tee::ReportData data_{};
  evidence::Policy policy_;
};

TEST_F(PublicationTest, LetsAReportOfAnSnpMachineBeVerified) {
  const auto machine = *new_snp_machine();
  auto tee = *SimulatedSnpTee::open(folder_, machine, {}, mint_begin());

  const auto published = publish(folder_, machine, mint_begin());

  ASSERT_TRUE(published) << published.error().message;
  policy_.snp.measurements = evidence::Expectation::one_of({base::copy_of(machine.measurement)});
  evidence::Evidence shown;
  shown.snp_report = *tee.hardware_report(data_);
  shown.snp_certificates = {published->vcek};
  evidence::Collateral collateral;
  collateral.snp_authorities = {published->ask, published->ark};
  collateral.snp_crls = {published->crl};
  const auto verdict =
      judge(shown, collateral, {evidence::root_slot(machine.product), published->ark});
  EXPECT_TRUE(verdict.accepted) << verdict.detail;
}

TEST_F(PublicationTest, LetsAQuoteOfATdxMachineBeVerified) {
  const auto machine = *new_tdx_machine();
  auto tee = *SimulatedTdxTee::open(folder_, machine, {}, mint_begin());

  const auto published = publish(folder_, machine, mint_begin());

  ASSERT_TRUE(published) << published.error().message;
  policy_.tdx.mr_td = evidence::Expectation::one_of({base::copy_of(machine.mr_td)});
  evidence::Evidence shown;
  shown.td_quote = tee.report(data_)->report;
  evidence::Collateral collateral;
  collateral.tdx.signers = {published->tcb_signer, published->root};
  collateral.tdx.crls = {published->root_crl, published->platform_crl, published->processor_crl};
  collateral.tdx.tcb_infos = {*evidence::decode_signed_document(published->tcb_info, "tcbInfo")};
  collateral.tdx.qe_identities = {
      *evidence::decode_signed_document(published->qe_identity, "enclaveIdentity")};
  const auto verdict = judge(shown, collateral, {evidence::RootSlot::kIntelSgx, published->root});
  EXPECT_TRUE(verdict.accepted) << verdict.detail;
}

}  // namespace
}  // namespace vtpm::tee_sim
