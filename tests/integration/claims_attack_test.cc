// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "keybroker/evidence/foreign_evidence.h"
#include "tests/integration/td_case.h"
#include "tests/support/evidence_vectors.h"
#include "vmgs/base/layout.h"

// What can be done with the container of a guest's claims, and with the parts of evidence that must
// be of one VM. Each test spoils one thing of evidence that is accepted.
namespace tests::integration {
namespace {

using support::read_evidence_vector;
using support::SimulatedGuest;

SimulatedGuest honest_guest() { return support::booted(); }

std::string judged(const Evidence& evidence, const Policy& policy) {
  const auto guest = honest_guest();
  return reason(verify(evidence, policy, guest.collateral(), guest.store(), mint_begin()));
}

// H2: the lengths of the container, and its end.
TEST(ClaimsAttackTest, TheLengthsOfTheContainerAgree) {
  const auto guest = honest_guest();
  const auto whole = guest.evidence();
  const auto with_field = [&](std::size_t offset, auto change) {
    auto evidence = whole;
    base::U32Le field;
    std::copy_n(evidence.hcl_report->begin() + static_cast<std::ptrdiff_t>(offset), 4,
                reinterpret_cast<std::byte*>(&field));
    field = change(field.value());
    std::ranges::copy(base::view(field),
                      evidence.hcl_report->begin() + static_cast<std::ptrdiff_t>(offset));
    const auto verdict = guest.judge(evidence);
    EXPECT_FALSE(verdict.accepted);
    const auto check = std::ranges::find(verdict.checks, "hcl", &Check::name);
    EXPECT_EQ(check->reason, Reason::kHclMalformed) << support::failures(verdict);
  };
  constexpr std::size_t kReportSize = 8;
  constexpr std::size_t kDataSize = 1216;
  constexpr std::size_t kClaimsSize = 1232;
  for (const auto field : {kReportSize, kDataSize, kClaimsSize}) {
    with_field(field, [](std::uint32_t value) { return value - 1; });
    with_field(field, [](std::uint32_t value) { return value + 1; });
    with_field(field, [](std::uint32_t) { return 0U; });
    with_field(field, [](std::uint32_t) { return 0xFFFFFFFFU; });
  }
  for (const std::size_t offset : {0U, 4U, 12U, 1220U, 1224U, 1228U}) {
    with_field(offset, [](std::uint32_t) { return 99U; });
  }
}

TEST(ClaimsAttackTest, ClaimsAreHashedAsThePolicySays) {
  auto evidence = honest_guest().evidence();
  (*evidence.hcl_report)[1228] = std::byte{2};  // SHA-384
  auto policy = honest_guest().policy();
  policy.hcl.own_form = false;
  EXPECT_EQ(judged(evidence, policy), "hcl-hash-type");
  policy.hcl.hash = crypto::Hash::kSha384;
  EXPECT_EQ(judged(evidence, policy), "claims-binding");
}

TEST(ClaimsAttackTest, UserDataAreComparedInFull) {
  auto guest = honest_guest();
  guest.runtime.user_data->front() = std::byte{7};
  auto policy = guest.policy();
  auto wanted = base::copy_of(*guest.runtime.user_data);
  policy.hcl.user_data = Expectation::one_of({wanted});
  EXPECT_EQ(judged(guest.evidence(), policy), "accepted");
  wanted.back() = std::byte{1};
  policy.hcl.user_data = Expectation::one_of({wanted});
  EXPECT_EQ(judged(guest.evidence(), policy), "user-data-mismatch");
  policy.hcl.user_data = Expectation::one_of({{std::byte{7}}});  // a prefix
  EXPECT_EQ(judged(guest.evidence(), policy), "user-data-mismatch");
}

// Whoever leaves the claims away cannot be asked what they say.
TEST(ClaimsAttackTest, WhatAPolicyWantsOfClaimsIsNotMetWithoutThem) {
  auto evidence = honest_guest().evidence();
  const auto hcl = decode_hcl_report(*evidence.hcl_report);
  evidence.snp_report = hcl->hardware_report;
  evidence.hcl_report.reset();
  evidence.extended_claims.reset();
  auto policy = honest_guest().policy();
  policy.report_data = Expectation::any();
  policy.ak.names =
      Expectation::one_of({decode_tpm_public(*evidence.ak.public_area)->name});  // so it is trusted
  policy.hcl = {};
  EXPECT_EQ(judged(evidence, policy), "accepted");
  policy.hcl.vm_id = honest_guest().extended.vm_id;
  EXPECT_EQ(judged(evidence, policy), "vm-id-mismatch");
  policy.hcl = {};
  policy.hcl.own_form = true;
  EXPECT_EQ(judged(evidence, policy), "hcl-form");
  policy.hcl = {};
  policy.hcl.user_data = Expectation::one_of({base::Bytes(64)});
  EXPECT_EQ(judged(evidence, policy), "user-data-mismatch");

  // Without a TEE a certificate may say which VM it is; a key that the policy names does not.
  evidence.snp_report.reset();
  evidence.snp_certificates.clear();
  policy.tees = {keybroker::protocol::TeeFamily::kNone};
  EXPECT_EQ(judged(evidence, policy), "user-data-mismatch");
  policy.hcl = {};
  EXPECT_EQ(judged(evidence, policy), "accepted");
  policy.hcl.vm_id = honest_guest().extended.vm_id;
  EXPECT_EQ(judged(evidence, policy), "ak-certificate-vm");
}

// Genuine evidence of Azure TDs, put together in ways that nobody's was.
class TdClaimsAttackTest : public support::EvidenceVectors {
 protected:
  static std::string text(const std::string& name) {
    const auto bytes = read_evidence_vector(name);
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }

  static Evidence evidence() {
    return *decode_foreign_json(text("azure/tdx-v4-full.evidence.json"));
  }

  static std::string judged(const Evidence& evidence, bool log_required = false) {
    const std::string folder = "tdx/collateral-2026-03/";
    Collateral collateral;
    auto& tdx = collateral.tdx;
    tdx.tcb_infos = {
        *decode_signed_document(text(folder + "tcb_info_90c06f000000.json"), "tcbInfo")};
    tdx.qe_identities = {
        *decode_signed_document(text(folder + "td_qe_identity.json"), "enclaveIdentity")};
    tdx.signers = *crypto::decode_pem_certificates(text(folder + "tcb_signing_chain.pem"), 3);
    for (const char* crl : {"root_ca_crl.der", "pck_crl_platform.der"}) {
      tdx.crls.push_back(*crypto::Crl::decode(read_evidence_vector(folder + crl)));
    }
    Policy policy;
    policy.nonce = Expectation::one_of(
        {base::copy_of(base::bytes_of(std::string_view("attestation-test-fixture")))});
    policy.tdx.mr_td = Expectation::any();
    policy.log.required = log_required;
    return reason(verify(evidence, policy, collateral, TrustStore::production(),
                         *crypto::parse_time("2026-04-01T00:00:00Z")));
  }
};

// H5: both are genuine and of one platform, and of two VMs.
TEST_F(TdClaimsAttackTest, TheQuoteIsOfTheTdThatTheClaimsAreOf) {
  auto input = evidence();
  EXPECT_EQ(judged(input), "accepted");
  input.td_quote = read_evidence_vector("tdx/v5-uptodate.quote.bin");
  EXPECT_EQ(judged(input), "td-report-mismatch");
  input = evidence();
  input.td_quote.reset();
  EXPECT_EQ(judged(input), "tee-refused");
}

// The RTMRs of a TD with a paravisor are zero, so a log of nothing leads to them. It explains no
// PCR.
TEST_F(TdClaimsAttackTest, ALogOfRtmrsExplainsNoQuotedPcr) {
  auto input = evidence();
  EXPECT_EQ(judged(input, true), "log-missing");
  EventLog log;
  log.header_index = 1;
  log.header_data = *base::from_hex(
      "53706563204944204576656e74303300000000000002000201000000"
      "0c00300000");
  log.algorithms = {{kTpmSha384, 48}};
  input.cc_event_log = encode(log);
  EXPECT_EQ(judged(input, false), "accepted");
  EXPECT_EQ(judged(input, true), "log-missing");
}

// T20: each part of a TDREPORT is covered by one of its hashes.
TEST_F(TdClaimsAttackTest, ATdReportIsWholeEvenWhereItsMacCannotBeTried) {
  for (const std::size_t offset : {256U, 264U, 494U, 512U, 528U, 720U, 1023U}) {
    auto input = evidence();
    (*input.hcl_report)[32 + offset] ^= std::byte{1};
    EXPECT_EQ(judged(input), "td-report-malformed") << offset;
  }
}

}  // namespace
}  // namespace tests::integration
