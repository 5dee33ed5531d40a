// SPDX-License-Identifier: Apache-2.0
#include "keybroker/evidence/snp_verification.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/support/evidence_vectors.h"

namespace keybroker::evidence {
namespace {

using crypto::Certificate;
using tests::support::read_evidence_vector;

// The captured reports, judged with what each of them needs. Each test spoils one thing.
class SnpVerificationVectorsTest : public tests::support::EvidenceVectors {
 protected:
  struct Case {
    base::Bytes report;
    std::vector<Certificate> chain;
    std::vector<crypto::Crl> crls{};
    SnpPolicy policy{};
    std::string now = "2026-11-21T00:00:00Z";
  };

  struct Judged {
    Checklist list;
    std::optional<SnpClaims> claims;

    // The code of the first failure, or "accepted".
    [[nodiscard]] std::string reason() const {
      if (const auto* failed = list.first_failure()) {
        return std::string(card(*failed->reason).code);
      }
      return list.accepted() ? "accepted" : "not everything could be checked";
    }

    [[nodiscard]] Outcome outcome(const std::string& name) const {
      const auto check = std::ranges::find(list.checks(), name, &Check::name);
      EXPECT_NE(check, list.checks().end()) << name;
      return check == list.checks().end() ? Outcome::kNotRun : check->outcome;
    }
  };

  static std::vector<Certificate> pem(const std::string& name) {
    const auto bytes = read_evidence_vector(name);
    return *crypto::decode_pem_certificates(
        {reinterpret_cast<const char*>(bytes.data()), bytes.size()}, 3);
  }

  static crypto::Crl crl(const std::string& name) {
    return *crypto::Crl::decode(read_evidence_vector(name));
  }

  static Case load(const std::string& report, const std::string& leaf,
                   const std::string& authorities) {
    Case input{read_evidence_vector(report), {*Certificate::decode(read_evidence_vector(leaf))}};
    for (const auto& authority : pem(authorities)) {
      input.chain.push_back(authority);
    }
    input.policy.crl = CrlRule::kOff;
    input.policy.measurements = Expectation::any();
    return input;
  }

  static Case milan() {
    return load("snp/milan-v2-clean.report.bin", "snp/milan-v2-clean.vcek.der",
                "roots/amd/milan-ask-ark.pem");
  }

  static Case genoa() {
    return load("snp/genoa-v5.report.bin", "snp/genoa-v5.vcek.der", "roots/amd/genoa-ask-ark.pem");
  }

  static Case vlek() {
    auto input = load("snp/milan-v3-vlek.report.bin", "snp/milan-v3-vlek.vlek.der",
                      "roots/amd/milan-asvk-ark.pem");
    input.policy.signers = {SnpSigningKey::kVlek};
    input.policy.vmpls = {1};
    input.now = "2025-06-15T00:00:00Z";
    return input;
  }

  static Judged judge(const Case& input) {
    Judged judged;
    const SnpChainRules rules{TrustStore::production(), input.crls, input.policy.crl,
                              *crypto::parse_time(input.now)};
    const auto chain = judge_snp_chain(input.chain, rules);
    judged.claims = judge_snp_report(input.report, chain, input.policy, judged.list);
    return judged;
  }

  static std::string reason(const Case& input) { return judge(input).reason(); }
};

TEST_F(SnpVerificationVectorsTest, AcceptsGenuineReportsOfEachKind) {
  EXPECT_EQ(reason(milan()), "accepted");
  EXPECT_EQ(reason(genoa()), "accepted");
  EXPECT_EQ(reason(vlek()), "accepted");
  const auto judged = judge(vlek());
  EXPECT_EQ(judged.claims->csp, "CN=cc-us-east-2.amazonaws.com");
  EXPECT_EQ(judged.claims->product, SnpProduct::kMilan);
  EXPECT_TRUE(judged.claims->chip_masked());
}

// S1: every byte that is signed.
TEST_F(SnpVerificationVectorsTest, RefusesEveryFlippedByte) {
  const auto input = milan();
  const SnpChainRules rules{
      TrustStore::production(), {}, CrlRule::kOff, *crypto::parse_time(input.now)};
  const auto chain = judge_snp_chain(input.chain, rules);
  for (std::size_t i = 0; i < kSnpSignedBytes; ++i) {
    auto report = input.report;
    report[i] ^= std::byte{0x10};
    Checklist list;
    judge_snp_report(report, chain, input.policy, list);
    EXPECT_FALSE(list.accepted()) << i;
    // Where the format lets it pass, the signature does not.
    if (!examine_snp_report(report)) {
      const auto signature = std::ranges::find(list.checks(), "snp.signature", &Check::name);
      EXPECT_EQ(signature->outcome, Outcome::kFail) << i;
    }
  }
}

constexpr std::size_t kR = 0x2A0;
constexpr std::size_t kS = 0x2E8;

// S2, S3, S4.
TEST_F(SnpVerificationVectorsTest, RefusesEveryOtherSignature) {
  for (std::size_t i = 0; i < kSnpReportBytes - kSnpSignedBytes; ++i) {
    auto input = milan();
    input.report[kSnpSignedBytes + i] ^= std::byte{1};
    const bool used = i % 72 < 48 && i < 144;
    EXPECT_EQ(reason(input), used ? "snp-signature-invalid" : "snp-signature-form") << i;
  }
  const auto with = [](std::size_t offset, const base::Bytes& number) {
    auto input = milan();
    std::copy(number.begin(), number.end(),
              input.report.begin() + static_cast<std::ptrdiff_t>(offset));
    return reason(input);
  };
  const auto zero = base::Bytes(48);
  auto order = *base::from_hex(
      "ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc5"
      "2973");
  std::ranges::reverse(order);
  for (const std::size_t offset : {kR, kS}) {
    EXPECT_EQ(with(offset, zero), "snp-signature-invalid");
    EXPECT_EQ(with(offset, order), "snp-signature-invalid");
  }
  auto input = milan();
  std::swap_ranges(input.report.begin() + kR, input.report.begin() + kR + 72,
                   input.report.begin() + kS);
  EXPECT_EQ(reason(input), "snp-signature-invalid");
  input = milan();
  std::reverse(input.report.begin() + kR, input.report.begin() + kR + 48);
  std::reverse(input.report.begin() + kS, input.report.begin() + kS + 48);
  EXPECT_EQ(reason(input), "snp-signature-invalid");
}

// S5.
TEST_F(SnpVerificationVectorsTest, RefusesEveryOtherSize) {
  const auto input = milan();
  const SnpChainRules rules{
      TrustStore::production(), {}, CrlRule::kOff, *crypto::parse_time(input.now)};
  const auto chain = judge_snp_chain(input.chain, rules);
  std::vector<std::size_t> sizes{1185, 1204, 5280};
  for (std::size_t size = 0; size < kSnpReportBytes; ++size) {
    sizes.push_back(size);
  }
  for (const auto size : sizes) {
    auto report = input.report;
    report.resize(size);
    Checklist list;
    judge_snp_report(report, chain, input.policy, list);
    ASSERT_NE(list.first_failure(), nullptr) << size;
    EXPECT_EQ(list.first_failure()->reason, Reason::kSnpReportSize) << size;
  }
}

// S8.
TEST_F(SnpVerificationVectorsTest, RefusesAGenuineGuestThatMayBeDebugged) {
  auto input = load("snp/milan-v2-debug.report.bin", "snp/milan-v2-debug.vcek.der",
                    "roots/amd/milan-ask-ark.pem");
  const auto judged = judge(input);
  EXPECT_EQ(judged.reason(), "snp-debug-allowed");
  EXPECT_EQ(judged.outcome("snp.signature"), Outcome::kPass);

  input.policy.allow_debug = true;
  EXPECT_EQ(reason(input), "accepted");
}

// S11.
TEST_F(SnpVerificationVectorsTest, RefusesTheIntermediateOfTheOtherKind) {
  auto input = vlek();
  input.chain[1] = pem("roots/amd/milan-ask-ark.pem")[0];
  EXPECT_EQ(reason(input), "snp-intermediate-kind");

  input = milan();
  input.chain[1] = pem("roots/amd/milan-asvk-ark.pem")[0];
  EXPECT_EQ(reason(input), "snp-intermediate-kind");
}

// S12: the check of the chip that one verifier never makes.
TEST_F(SnpVerificationVectorsTest, RefusesTheVcekOfAnotherChip) {
  auto input = milan();
  input.chain[0] = *Certificate::decode(read_evidence_vector("snp/milan-v2-idblock.vcek.der"));

  const auto judged = judge(input);

  EXPECT_EQ(judged.reason(), "snp-chip-mismatch");
  EXPECT_EQ(judged.outcome("snp.tcb.certified"), Outcome::kPass);
  EXPECT_EQ(judged.outcome("snp.signature"), Outcome::kFail);
}

TEST_F(SnpVerificationVectorsTest, RefusesAnEditedVcek) {
  auto input = milan();
  input.chain[0] = *Certificate::decode(read_evidence_vector("snp/neg-vcek-edited-hwid.der"));

  const auto judged = judge(input);

  EXPECT_EQ(judged.reason(), "snp-chain-broken");
  EXPECT_EQ(judged.outcome("snp.endorsement.identity"), Outcome::kPass);
}

// S18.
TEST_F(SnpVerificationVectorsTest, RefusesTheRootOfAnotherLine) {
  auto input = milan();
  const auto other = pem("roots/amd/genoa-ask-ark.pem");
  input.chain[1] = other[0];
  input.chain[2] = other[1];
  EXPECT_EQ(reason(input), "snp-chain-broken");

  input = genoa();
  input.chain[2] = pem("roots/amd/milan-ask-ark.pem")[1];
  EXPECT_EQ(reason(input), "snp-intermediate-kind");
}

TEST_F(SnpVerificationVectorsTest, KnowsTheDensePartsOfGenoa) {
  const auto judged = judge(genoa());
  EXPECT_EQ(judged.claims->report.cpu->model, 0xA0);
  EXPECT_EQ(judged.claims->product, SnpProduct::kGenoa);
  EXPECT_EQ(judged.outcome("snp.product"), Outcome::kPass);
}

// S20, with AMD's own lists.
TEST_F(SnpVerificationVectorsTest, JudgesRevocationLists) {
  auto input = milan();
  input.policy.crl = CrlRule::kRequired;
  EXPECT_EQ(reason(input), "snp-crl-missing");

  input.crls = {crl("crl/amd-genoa.crl.der")};  // of another line
  EXPECT_EQ(reason(input), "snp-crl-missing");

  input.crls = {crl("crl/amd-milan.crl.der")};
  EXPECT_EQ(reason(input), "snp-crl-stale");
  input.policy.crl = CrlRule::kIfGiven;
  EXPECT_EQ(reason(input), "snp-crl-stale");

  input.now = "2025-06-15T00:00:00Z";
  input.policy.crl = CrlRule::kRequired;
  EXPECT_EQ(reason(input), "accepted");
  input.now = "2025-05-06T12:39:05Z";  // a second before it was issued
  EXPECT_EQ(reason(input), "snp-crl-stale");

  auto bytes = read_evidence_vector("crl/amd-milan.crl.der");
  bytes.back() ^= std::byte{1};
  input.crls = {*crypto::Crl::decode(bytes)};
  EXPECT_EQ(reason(input), "snp-crl-forged");

  input = milan();
  input.policy.crl = CrlRule::kIfGiven;
  EXPECT_EQ(reason(input), "accepted");
}

// The certificate is younger than the last list that is there.
TEST_F(SnpVerificationVectorsTest, RefusesAReportThatNoListCovers) {
  auto input = genoa();
  input.policy.crl = CrlRule::kRequired;
  input.crls = {crl("crl/amd-genoa.crl.der")};
  EXPECT_EQ(reason(input), "snp-crl-stale");
}

// S21.
TEST_F(SnpVerificationVectorsTest, RefusesCertificatesOutsideTheirTime) {
  auto input = vlek();
  input.now = "2026-11-21T00:00:00Z";
  EXPECT_EQ(reason(input), "snp-chain-expired");
  EXPECT_EQ(judge(input).outcome("snp.signature"), Outcome::kPass);
  input.now = "2024-12-10T22:14:20Z";
  EXPECT_EQ(reason(input), "snp-chain-not-yet-valid");
}

// S22.
TEST_F(SnpVerificationVectorsTest, RefusesChainsOfAnotherShape) {
  const auto good = milan();
  const auto with = [&](std::vector<Certificate> chain) {
    auto input = good;
    input.chain = std::move(chain);
    return reason(input);
  };
  const auto& leaf = good.chain[0];
  const auto& ask = good.chain[1];
  const auto& ark = good.chain[2];
  EXPECT_EQ(with({}), "snp-chain-shape");
  EXPECT_EQ(with({leaf}), "snp-chain-shape");
  EXPECT_EQ(with({leaf, ask}), "snp-chain-shape");
  EXPECT_EQ(with({ask, leaf, ark}), "snp-chain-shape");
  EXPECT_EQ(with({leaf, ark, ask}), "snp-chain-shape");
  EXPECT_EQ(with({leaf, ark, ark}), "snp-intermediate-kind");
  EXPECT_EQ(with({leaf, ask, ask, ark}), "snp-chain-shape");
  EXPECT_EQ(with({leaf, leaf, ark}), "snp-intermediate-kind");
  EXPECT_EQ(with(std::vector<Certificate>(100, leaf)), "snp-chain-shape");
}

// S27: the signature is no identity, so this has to pass.
TEST_F(SnpVerificationVectorsTest, AcceptsTheOtherSOfASignature) {
  // n - s, worked out outside.
  auto input = milan();
  const auto other = *base::from_hex(
      "538c4613ac8751cf6ff892f1b39e5a6d2368fb7cf5decb48bf4ea356ce4492bb3a5461cf30238cb934be53f7c46f"
      "40b6");
  std::copy(other.begin(), other.end(), input.report.begin() + kS);
  EXPECT_EQ(reason(input), "accepted");
}

TEST_F(SnpVerificationVectorsTest, DemandsEqualCommittedTcbOnlyWhereAsked) {
  auto input = load("snp/milan-v2-idblock.report.bin", "snp/milan-v2-idblock.vcek.der",
                    "roots/amd/milan-ask-ark.pem");
  EXPECT_EQ(reason(input), "accepted");
  input.policy.require_committed_equals_current = true;
  EXPECT_EQ(reason(input), "snp-committed-behind");
}

TEST_F(SnpVerificationVectorsTest, RefusesWhatThePolicyDoesNotTake) {
  const auto with = [](const Case& good, auto change) {
    auto input = good;
    change(input.policy);
    return reason(input);
  };
  const auto id_block = load("snp/milan-v2-idblock.report.bin", "snp/milan-v2-idblock.vcek.der",
                             "roots/amd/milan-ask-ark.pem");
  const auto wrong = Expectation::one_of({base::Bytes(48)});

  EXPECT_EQ(with(milan(), [](auto& p) { p.measurements = {}; }), "snp-unpinned");
  EXPECT_EQ(with(milan(), [&](auto& p) { p.measurements = wrong; }), "snp-measurement-unknown");
  EXPECT_EQ(with(id_block, [&](auto& p) { p.id_key_digests = wrong; }), "snp-id-key-unknown");
  EXPECT_EQ(with(id_block, [&](auto& p) { p.author_key_digests = Expectation::one_of({}); }),
            "snp-id-key-unknown");
  EXPECT_EQ(with(milan(), [&](auto& p) { p.host_data = wrong; }), "snp-host-data-unknown");
  EXPECT_EQ(with(milan(), [&](auto& p) { p.chip_ids = wrong; }), "snp-chip-unknown");
  EXPECT_EQ(with(id_block, [](auto& p) { p.min_guest_svn = 4; }), "accepted");
  EXPECT_EQ(with(id_block, [](auto& p) { p.min_guest_svn = 5; }), "snp-guest-svn-too-low");
  EXPECT_EQ(with(milan(), [](auto& p) { p.products = {SnpProduct::kGenoa}; }),
            "snp-product-refused");
  EXPECT_EQ(with(milan(), [](auto& p) { p.vmpls = {1}; }), "snp-vmpl-refused");
  EXPECT_EQ(with(vlek(), [](auto& p) { p.vmpls = {0}; }), "snp-vmpl-refused");
  EXPECT_EQ(with(vlek(), [](auto& p) { p.signers = {SnpSigningKey::kVcek}; }),
            "snp-signer-refused");
  EXPECT_EQ(with(vlek(), [](auto& p) { p.csps = Expectation::one_of({}); }), "snp-signer-refused");
  EXPECT_EQ(with(milan(), [](auto& p) { p.guest_policy.refused = kSnpPolicySmt; }),
            "snp-guest-policy");
  EXPECT_EQ(with(milan(), [](auto& p) { p.guest_policy.required = 1ULL << 20; }),
            "snp-guest-policy");
  EXPECT_EQ(with(genoa(), [](auto& p) { p.platform.required = 1ULL << 5; }), "accepted");
  EXPECT_EQ(with(milan(), [](auto& p) { p.platform.required = 1ULL << 5; }), "accepted");
  EXPECT_EQ(with(genoa(), [](auto& p) { p.platform.refused = 1ULL << 2; }), "snp-platform-refused");
}

// S14, the part that needs no resigned report.
TEST_F(SnpVerificationVectorsTest, ComparesEachComponentOfTheTcb) {
  auto input = milan();  // boot loader 3, TEE 0, SNP 8, microcode 115
  const auto with = [&](const TcbVersion& floor) {
    input.policy.min_tcb = {{SnpProduct::kMilan, floor}};
    return reason(input);
  };
  EXPECT_EQ(with({0, 3, 0, 8, 115}), "accepted");
  EXPECT_EQ(with({0, 4, 0, 0, 0}), "snp-tcb-too-low");
  EXPECT_EQ(with({0, 0, 1, 0, 0}), "snp-tcb-too-low");
  EXPECT_EQ(with({0, 0, 0, 9, 0}), "snp-tcb-too-low");
  EXPECT_EQ(with({0, 0, 0, 0, 116}), "snp-tcb-too-low");
  input.policy.min_tcb = {{SnpProduct::kGenoa, {0, 255, 255, 255, 255}}};
  EXPECT_EQ(reason(input), "accepted");
}

TEST_F(SnpVerificationVectorsTest, KeptChainsSayTheSame) {
  const auto input = milan();
  const SnpChainRules rules{
      TrustStore::production(), {}, CrlRule::kOff, *crypto::parse_time(input.now)};
  const auto chain = judge_snp_chain(input.chain, rules);

  EXPECT_TRUE(chain.trusted());
  EXPECT_EQ(crypto::to_text(chain.validity.until), "2030-04-03T19:23:43Z");
  for (int i = 0; i < 2; ++i) {
    Checklist list;
    judge_snp_report(input.report, chain, input.policy, list);
    EXPECT_TRUE(list.accepted());
  }
}

TEST_F(SnpVerificationVectorsTest, CompletesAChainFromAuthorities) {
  const auto input = milan();
  std::vector<Certificate> authorities;
  for (const char* name : {"roots/amd/genoa-ask-ark.pem", "roots/amd/milan-asvk-ark.pem",
                           "roots/amd/milan-ask-ark.pem"}) {
    for (const auto& certificate : pem(name)) {
      authorities.push_back(certificate);
    }
  }

  EXPECT_EQ(complete_snp_chain({input.chain[0]}, authorities), input.chain);
  EXPECT_EQ(complete_snp_chain({input.chain[0], input.chain[1]}, authorities), input.chain);
  EXPECT_EQ(complete_snp_chain({input.chain[0]}, {}).size(), 1U);
  EXPECT_TRUE(complete_snp_chain({}, authorities).empty());
}

// The list of checks does not depend on what is wrong, so that two verdicts can be compared.
TEST_F(SnpVerificationVectorsTest, MakesTheSameChecksInTheSameOrder) {
  const auto names = [](const Case& input) {
    std::vector<std::string> result;
    const auto judged = judge(input);
    for (const auto& check : judged.list.checks()) {
      result.push_back(check.name);
    }
    return result;
  };
  const auto all = names(milan());
  EXPECT_EQ(names(vlek()), all);
  auto input = milan();
  input.report.clear();
  EXPECT_EQ(names(input), all);
  input = milan();
  input.chain.clear();
  EXPECT_EQ(names(input), all);
}

TEST_F(SnpVerificationVectorsTest, ReadsTheOneTurinCertificateThereIs) {
  const auto leaf = *Certificate::decode(read_evidence_vector("snp/turin.vcek.der"));
  const auto tcb = decode_endorsed_tcb(leaf, SnpProduct::kTurin);
  const auto identity = decode_endorsed_identity(leaf, SnpProduct::kTurin, SnpSigningKey::kVcek);

  ASSERT_TRUE(tcb) << tcb.error().message;
  EXPECT_EQ(tcb->tcb, (TcbVersion{0, 0, 0, 0, 9}));
  EXPECT_TRUE(tcb->names_fmc);
  EXPECT_EQ(base::to_hex(*identity->hwid), "1e550a8ee5cf9f4d");
  EXPECT_FALSE(decode_endorsed_tcb(leaf, SnpProduct::kMilan));
  EXPECT_FALSE(decode_endorsed_identity(leaf, SnpProduct::kMilan, SnpSigningKey::kVcek));
  EXPECT_FALSE(decode_endorsed_identity(leaf, SnpProduct::kTurin, SnpSigningKey::kVlek));
}

}  // namespace
}  // namespace keybroker::evidence
