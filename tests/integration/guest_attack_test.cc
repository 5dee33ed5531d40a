// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <boost/json.hpp>

#include "keybroker/evidence/bundle.h"
#include "keybroker/evidence/verdict_json.h"
#include "tests/support/evidence_vectors.h"
#include "tests/support/simulated_guest.h"

// What somebody on the way can do to a guest's report and claims, and what the guest itself can ask
// its hardware for. Each test spoils one thing of an honest guest.
namespace tests::integration {
namespace {

using namespace keybroker::evidence;
using support::failures;
using support::reason;
using support::SimulatedGuest;

SimulatedGuest honest_guest() { return support::booted(); }

std::string judged(const SimulatedGuest& guest) { return reason(guest.judge(guest.evidence())); }

// with_container() lets a test change the HCL report's parts behind the hardware's back.
template <typename Change>
Evidence with_container(const SimulatedGuest& guest, Change change) {
  auto evidence = guest.evidence();
  auto hcl = *decode_hcl_report(*evidence.hcl_report);
  change(hcl);
  evidence.hcl_report = *encode(hcl);
  return evidence;
}

TEST(GuestAttackTest, AnHonestGuestIsAccepted) {
  const auto guest = honest_guest();
  const auto verdict = guest.judge(guest.evidence());
  ASSERT_TRUE(verdict.accepted) << failures(verdict);
  const auto& claims = *verdict.claims;
  EXPECT_EQ(claims.root_class, RootClass::kSimulated);
  EXPECT_TRUE(claims.claims_bound);
  EXPECT_EQ(claims.ak_name, guest.extended.ak_name);
  EXPECT_EQ(claims.extended, guest.extended);
  EXPECT_EQ(claims.snp->report.measurement, guest.report.measurement);
  EXPECT_EQ(claims.quotes.size(), 1U);
  EXPECT_EQ(claims.secure_boot->enabled, true);
}

TEST(GuestAttackTest, ABundleCarriesAllOfIt) {
  const auto guest = honest_guest();
  const auto evidence = guest.evidence();
  const auto verdict = guest.judge(*decode_bundle(*encode_bundle(evidence)));
  ASSERT_TRUE(verdict.accepted) << failures(verdict);
  const auto claims_of = [](const Verdict& judged_verdict) {
    return boost::json::serialize(to_json(*judged_verdict.claims, Identifiers::kLeaveOut));
  };
  EXPECT_EQ(claims_of(verdict), claims_of(guest.judge(evidence)));
}

// R1.
TEST(GuestAttackTest, ASimulatorIsNothingToProduction) {
  const auto guest = honest_guest();
  const auto verdict = verify(guest.evidence(), guest.policy(), guest.collateral(),
                              TrustStore::production(), support::mint_begin());
  EXPECT_EQ(reason(verdict), "simulated-in-production");
  EXPECT_FALSE(verdict.claims);
  // Nothing that hangs on the refused report counts for anything.
  const auto trust = std::ranges::find(verdict.checks, "ak.trust", &Check::name);
  ASSERT_NE(trust, verdict.checks.end());
  EXPECT_EQ(trust->outcome, Outcome::kNotRun);
}

// R2.
using GuestAttackVectorsTest = support::EvidenceVectors;

TEST_F(GuestAttackVectorsTest, HardwareIsNothingToASimulatorsStore) {
  const auto guest = honest_guest();
  Evidence evidence;
  evidence.snp_report = support::read_evidence_vector("snp/genoa-v5.report.bin");
  evidence.snp_certificates = {*keybroker::crypto::Certificate::decode(
      support::read_evidence_vector("snp/genoa-v5.vcek.der"))};
  const auto pem = support::read_evidence_vector("roots/amd/genoa-ask-ark.pem");
  const auto authorities = keybroker::crypto::decode_pem_certificates(
      {reinterpret_cast<const char*>(pem.data()), pem.size()}, 2);
  evidence.snp_certificates.insert(evidence.snp_certificates.end(), authorities->begin(),
                                   authorities->end());
  Policy policy;
  policy.snp.measurements = policy.report_data = Expectation::any();
  const auto verdict = verify(evidence, policy, {}, guest.store(),
                              *keybroker::crypto::parse_time("2026-11-21T00:00:00Z"));
  EXPECT_EQ(reason(verdict), "snp-root-untrusted");
}

// R4.
TEST(GuestAttackTest, EvidenceCannotSayHowItIsToBeJudged) {
  const auto guest = honest_guest();
  auto bundle = boost::json::parse(*encode_bundle(guest.evidence())).as_object();
  bundle["root_class"] = "production";
  bundle["trust_store"] = "production";
  bundle["policy"] = {{"tees", {"none"}}};
  bundle["snp"].as_object()["root_class"] = "production";
  const auto verdict = guest.judge(*decode_bundle(boost::json::serialize(bundle)));
  ASSERT_TRUE(verdict.accepted) << failures(verdict);
  EXPECT_EQ(verdict.claims->root_class, RootClass::kSimulated);
}

// H1.
TEST(GuestAttackTest, ClaimsThatWereTouchedAreNotBound) {
  const auto guest = honest_guest();
  const auto touched = [&](auto change) {
    return reason(guest.judge(with_container(guest, [&](HclReport& hcl) { change(hcl.claims); })));
  };
  EXPECT_EQ(touched([](std::string& claims) { claims.insert(1, " "); }), "claims-binding");
  EXPECT_EQ(touched([](std::string& claims) { claims.push_back('\n'); }), "claims-binding");
  EXPECT_EQ(touched([](std::string& claims) { claims[claims.find("true")] = 'T'; }),
            "claims-binding");
  EXPECT_EQ(touched([](std::string& claims) {
              const auto object = boost::json::parse(claims).as_object();
              boost::json::object other;
              other["vm-configuration"] = object.at("vm-configuration");
              for (const auto& member : object) {
                other.emplace(member.key(), member.value());
              }
              claims = boost::json::serialize(other);
            }),
            "claims-binding");
}

// H2.
TEST(GuestAttackTest, TheContainerMustBeOfTheHardwareThatIsThere) {
  const auto guest = honest_guest();
  auto evidence = guest.evidence();
  const auto snp_report = decode_hcl_report(*evidence.hcl_report)->hardware_report;
  (*evidence.hcl_report)[1224] = std::byte{3};  // no TEE, though a report stands there
  EXPECT_EQ(reason(guest.judge(evidence)), "tee-refused");

  evidence = with_container(guest, [](HclReport& hcl) {
    hcl.type = HclReportType::kTrustedVm;
    hcl.hardware_report.clear();
  });
  evidence.snp_report = snp_report;
  EXPECT_EQ(reason(guest.judge(evidence)), "hcl-tee-type");
  evidence = guest.evidence();
  evidence.snp_report = guest.signed_report();
  EXPECT_EQ(reason(guest.judge(evidence)), "evidence-contradiction");
}

// H3.
TEST(GuestAttackTest, NothingStandsBehindTheHashOfTheClaims) {
  auto guest = honest_guest();
  guest.report.report_data[63] = std::byte{1};
  EXPECT_EQ(judged(guest), "claims-binding");
}

// H4.
TEST(GuestAttackTest, ClaimsNameOneStrongAk) {
  const auto with_keys = [](auto change) {
    auto guest = honest_guest();
    change(guest.runtime.keys);
    return judged(guest);
  };
  EXPECT_EQ(with_keys([](auto& keys) { keys.push_back(keys.front()); }), "claims-malformed");
  EXPECT_EQ(with_keys([](auto& keys) { keys.clear(); }), "ak-missing");
  EXPECT_EQ(with_keys([](auto& keys) { keys.front().exponent = {std::byte{3}}; }),
            "claims-malformed");
  EXPECT_EQ(with_keys([](auto& keys) { keys.front().modulus.resize(128); }), "claims-malformed");
  EXPECT_EQ(with_keys([](auto& keys) { keys.front().kid = "HCLEkPub"; }), "ak-missing");
}

// H6.
TEST(GuestAttackTest, TheVmIsTheOneThatIsExpected) {
  auto guest = honest_guest();
  auto policy = guest.policy();
  policy.hcl.vm_id->back() ^= std::byte{1};
  EXPECT_EQ(reason(verify(guest.evidence(), policy, guest.collateral(), guest.store(),
                          support::mint_begin())),
            "vm-id-mismatch");
  // Both documents name the VM, and must agree even where nobody expects a certain one.
  guest.extended.vm_id.back() ^= std::byte{1};
  policy.hcl.vm_id.reset();
  EXPECT_EQ(reason(verify(guest.evidence(), policy, guest.collateral(), guest.store(),
                          support::mint_begin())),
            "vm-id-mismatch");
}

// H7: before there is an AK the nonce is in the claims.
TEST(GuestAttackTest, ClaimsOfAnEarlierBootCarryAnotherNonce) {
  auto guest = honest_guest();
  auto policy = guest.policy();
  policy.quote.required = policy.log.required = false;
  policy.boot.reset();
  const auto at_boot = [&] {
    auto evidence = guest.evidence();
    evidence.quotes.clear();
    evidence.event_log.reset();
    return reason(
        verify(evidence, policy, guest.collateral(), guest.store(), support::mint_begin()));
  };
  std::ranges::copy(guest.nonce, guest.runtime.user_data->begin());
  EXPECT_EQ(at_boot(), "accepted");
  auto cut = guest.nonce;
  cut.pop_back();
  auto longer = guest.nonce;
  longer.push_back(std::byte{'x'});
  for (const auto& other : {cut, longer, base::Bytes()}) {
    policy.nonce = Expectation::one_of({other});
    EXPECT_EQ(at_boot(), "nonce-mismatch");
  }
  policy.nonce = Expectation::one_of({guest.nonce});
  guest.runtime.user_data.reset();
  EXPECT_EQ(at_boot(), "nonce-empty");
  policy.nonce = {};
  EXPECT_EQ(at_boot(), "nonce-unpinned");
}

TEST(GuestAttackTest, ExtendedClaimsHangOnTheClaims) {
  auto guest = honest_guest();
  auto evidence = guest.evidence();
  evidence.extended_claims.reset();
  EXPECT_EQ(reason(guest.judge(evidence)), "extended-claims-missing");
  auto other = guest;
  other.extended.state_protection.mode = keybroker::protocol::Protection::kNone;
  evidence.extended_claims = *encode(other.extended);
  EXPECT_EQ(reason(guest.judge(evidence)), "extended-claims-binding");
  other = guest;
  other.extended.launch.front() ^= std::byte{1};
  EXPECT_EQ(judged(other), "launch-mismatch");
  other = guest;
  other.extended.ak_name.back() ^= std::byte{1};
  EXPECT_EQ(judged(other), "ak-mismatch");
}

// Other makers' claims have the number of the AK and no Name.
TEST(GuestAttackTest, AKeyBesideClaimsWithoutNamesIsTheirs) {
  auto guest = honest_guest();
  guest.claims_text = *encode(guest.runtime);
  auto evidence = guest.evidence();
  evidence.extended_claims.reset();
  EXPECT_EQ(reason(guest.judge(evidence)), "accepted");
  auto& tpm = support::process_tpm();
  evidence.ak.public_area = tpm.ecc_ak().public_area;
  EXPECT_EQ(reason(guest.judge(evidence)), "ak-mismatch");
  auto other = guest;
  const auto unrestricted = *decode_tpm_public(tpm.unrestricted_key().public_area);
  const auto numbers = *unrestricted.key.rsa_numbers();
  other.runtime.keys.front().modulus = numbers.modulus;
  other.claims_text = *encode(other.runtime);
  evidence = other.evidence();
  evidence.extended_claims.reset();
  EXPECT_EQ(reason(guest.judge(evidence)), "ak-mismatch");
}

TEST(GuestAttackTest, OnlyOurFormWhereThatIsAsked) {
  const auto guest = honest_guest();
  auto evidence = guest.evidence();
  (*evidence.hcl_report)[4] = std::byte{1};  // an old header version
  EXPECT_EQ(reason(guest.judge(evidence)), "hcl-form");
}

// S8, S9: signed by real keys, and nothing to rely on. A report of VMPL 1 to 3 is one that the
// guest's own root can ask for, with any claims it likes.
TEST(GuestAttackTest, AGenuineReportMayBeOfAGuestThatNobodyMayTrust) {
  const auto with = [](auto change) {
    auto guest = honest_guest();
    change(guest.report);
    return judged(guest);
  };
  EXPECT_EQ(with([](auto& report) { report.policy = 0xB0000; }), "snp-debug-allowed");
  EXPECT_EQ(with([](auto& report) { report.policy = 0x70000; }), "snp-migration-allowed");
  for (const std::uint32_t vmpl : {1U, 2U, 3U}) {
    EXPECT_EQ(with([&](auto& report) { report.vmpl = vmpl; }), "snp-vmpl-refused");
  }
  EXPECT_EQ(with([](auto& report) { report.vmpl = 4; }), "snp-vmpl-range");
  EXPECT_EQ(with([](auto& report) { report.measurement[0] ^= std::byte{1}; }),
            "snp-measurement-unknown");
}

TEST(GuestAttackTest, APolicyMustDecideWhichParavisor) {
  const auto guest = honest_guest();
  auto policy = guest.policy();
  policy.snp.measurements = {};
  EXPECT_EQ(reason(verify(guest.evidence(), policy, guest.collateral(), guest.store(),
                          support::mint_begin())),
            "snp-unpinned");
}

// S6, S7.
TEST(GuestAttackTest, SignedReservedBitsAndUnknownVersionsAreRefused) {
  const auto with = [](auto change) {
    auto guest = honest_guest();
    change(guest.report);
    return judged(guest);
  };
  for (const std::uint32_t version : {0U, 1U, 6U, 0xFFFFFFFFU}) {
    EXPECT_EQ(with([&](auto& report) { report.version = version; }), "snp-report-version");
  }
  EXPECT_EQ(with([](auto& report) { report.reserved_4c[0] = std::byte{1}; }),
            "snp-report-reserved");
  EXPECT_EQ(with([](auto& report) { report.reserved_18b[20] = std::byte{1}; }),
            "snp-report-reserved");
  EXPECT_EQ(with([](auto& report) { report.reserved_208[0] = std::byte{1}; }),
            "snp-report-reserved");
  EXPECT_EQ(with([](auto& report) { report.policy = 0x10000; }), "snp-report-reserved");
  EXPECT_EQ(with([](auto& report) { report.policy = 0x30000 | 1ULL << 26; }),
            "snp-report-reserved");
  EXPECT_EQ(with([](auto& report) { report.signature_algorithm = 2; }), "snp-report-algorithm");
}

// S13, S14.
TEST(GuestAttackTest, EveryTcbIsComparedByComponent) {
  constexpr TcbVersion kNow{.boot_loader = 4, .tee = 1, .snp = 24, .microcode = 219};
  const auto raw = [](TcbVersion tcb, std::uint8_t TcbVersion::*component, int by) {
    tcb.*component = static_cast<std::uint8_t>(tcb.*component + by);
    return encode_tcb(tcb, TcbForm::kMilanGenoa);
  };
  for (const auto component :
       {&TcbVersion::boot_loader, &TcbVersion::tee, &TcbVersion::snp, &TcbVersion::microcode}) {
    auto guest = honest_guest();
    guest.report.reported_tcb = raw(kNow, component, 1);
    EXPECT_EQ(judged(guest), "snp-tcb-order");
    guest = honest_guest();
    guest.report.committed_tcb = raw(kNow, component, 1);
    EXPECT_EQ(judged(guest), "snp-tcb-order");

    // Below the floor in one component, above it in all others.
    guest = honest_guest();
    auto policy = guest.policy();
    auto& floor = policy.snp.min_tcb[SnpProduct::kGenoa];
    floor.*component = static_cast<std::uint8_t>(kNow.*component + 1);
    EXPECT_EQ(reason(verify(guest.evidence(), policy, guest.collateral(), guest.store(),
                            support::mint_begin())),
              "snp-tcb-too-low");

    // The certificate of the same chip at another TCB.
    auto evidence = guest.evidence();
    auto other = guest;
    other.report.reported_tcb = raw(kNow, component, -1);
    evidence.snp_certificates = other.evidence().snp_certificates;
    EXPECT_EQ(reason(guest.judge(evidence)), "snp-tcb-mismatch");
  }
}

// S25, S26.
TEST(GuestAttackTest, MaskedChipsAndInconsistentKeysAreRefused) {
  // A VCEK for the chip, and a report that hides which chip it is from.
  auto guest = honest_guest();
  const auto certificates = guest.evidence().snp_certificates;
  guest.report.chip_id = {};
  auto evidence = guest.evidence();
  evidence.snp_certificates = certificates;
  EXPECT_EQ(reason(guest.judge(evidence)), "snp-chip-masked");
  guest = honest_guest();
  guest.report.author_key_digest[0] = std::byte{1};
  EXPECT_EQ(judged(guest), "snp-author-key-inconsistent");
  guest = honest_guest();
  auto policy = guest.policy();
  policy.snp.id_key_digests = Expectation::one_of({base::Bytes(48, std::byte{7})});
  EXPECT_EQ(reason(verify(guest.evidence(), policy, guest.collateral(), guest.store(),
                          support::mint_begin())),
            "snp-id-key-unknown");
}

TEST(GuestAttackTest, NothingIsNoEvidence) {
  const auto guest = honest_guest();
  EXPECT_EQ(reason(guest.judge({})), "evidence-empty");
  Evidence large;
  large.hcl_report = base::Bytes(kMaxEvidenceBytes + 1);
  EXPECT_EQ(reason(guest.judge(large)), "evidence-too-large");
}

}  // namespace
}  // namespace tests::integration
