// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "keybroker/crypto/issue.h"
#include "tests/support/simulated_guest.h"

// Who may vouch for an AK, and for how long. The AK is a real TPM's.
namespace tests::integration {
namespace {

namespace crypto = keybroker::crypto;
using namespace keybroker::evidence;
using support::mint_begin;
using support::reason;
using support::SimulatedGuest;

SimulatedGuest honest_guest() { return support::booted(); }

support::AttestingTpm& tpm() {
  honest_guest();
  return support::process_tpm();
}

std::string judged(const Evidence& evidence, const Policy& policy,
                   const Collateral& collateral = honest_guest().collateral()) {
  return reason(verify(evidence, policy, collateral, honest_guest().store(), mint_begin()));
}

// A certification authority of AKs, and what it may issue.
class Authority {
 public:
  explicit Authority(const std::string& name)
      : key_(*crypto::PrivateKey::generate_ec(crypto::Curve::kP384)) {
    auto spec = spec_of(name, name);
    spec.authority = crypto::AuthorityConstraints{std::nullopt, true};
    certificate_ = *crypto::issue(spec, key_.public_key(), key_);
  }

  [[nodiscard]] const crypto::Certificate& certificate() const { return *certificate_; }

  [[nodiscard]] crypto::CertificateSpec ak_spec() const {
    auto spec = spec_of("an AK", certificate_name());
    spec.end_entity = true;
    // id-ce-extKeyUsage with tcg-kp-AIKCertificate, 2.23.133.8.3.
    spec.extensions = {{"2.5.29.37", false, *base::from_hex("300706056781050803")}};
    return spec;
  }

  [[nodiscard]] base::Bytes issue(const crypto::CertificateSpec& spec,
                                  const crypto::PublicKey& key) const {
    return crypto::issue(spec, key, key_)->der();
  }

  [[nodiscard]] crypto::Crl crl(const std::vector<crypto::Crl::Entry>& revoked,
                                crypto::Time from = mint_begin()) const {
    return *crypto::issue_crl({.issuer = {{"CN", certificate_name()}},
                               .this_update = from,
                               .next_update = from + std::chrono::days(30),
                               .revoked = revoked},
                              key_);
  }

 private:
  static crypto::CertificateSpec spec_of(const std::string& subject, const std::string& issuer) {
    crypto::CertificateSpec spec;
    spec.serial = *base::from_hex("0105");
    spec.subject = {{"CN", subject}};
    spec.issuer = {{"CN", issuer}};
    spec.not_before = mint_begin();
    spec.not_after = mint_begin() + std::chrono::days(30);
    spec.key_identifiers = true;
    return spec;
  }

  [[nodiscard]] std::string certificate_name() const { return "an AK authority"; }

  crypto::PrivateKey key_;
  std::optional<crypto::Certificate> certificate_;
};

// V9.
TEST(AkAttackTest, AnAkCertificateIsForThisKeyThisUseAndThisTime) {
  const Authority authority("an AK authority");
  const Authority other("an AK authority");
  const auto ak = decode_tpm_public(tpm().rsa_ak().public_area)->key;
  auto policy = honest_guest().policy();
  policy.ak.require_certificate = true;
  auto collateral = honest_guest().collateral();
  collateral.ak.roots = {authority.certificate()};
  const auto with = [&](const base::Bytes& certificate) {
    auto evidence = honest_guest().evidence();
    evidence.ak.certificates = {certificate};
    return judged(evidence, policy, collateral);
  };
  const auto spec = authority.ak_spec();
  EXPECT_EQ(with(authority.issue(spec, ak)), "accepted");
  EXPECT_EQ(with(other.issue(spec, ak)), "ak-certificate-chain");
  EXPECT_EQ(with(authority.issue(spec, crypto::PrivateKey::generate_rsa(2048)->public_key())),
            "ak-mismatch");
  auto changed = spec;
  changed.extensions.clear();
  EXPECT_EQ(with(authority.issue(changed, ak)), "ak-certificate-use");
  changed = spec;
  changed.not_after = mint_begin() - std::chrono::days(1);
  changed.not_before = mint_begin() - std::chrono::days(2);
  EXPECT_EQ(with(authority.issue(changed, ak)), "ak-certificate-stale");
  EXPECT_EQ(with({std::byte{0x30}}), "ak-certificate-malformed");
  EXPECT_EQ(judged(honest_guest().evidence(), policy, collateral), "ak-certificate-missing");

  collateral.ak.crls = {authority.crl({})};
  EXPECT_EQ(with(authority.issue(spec, ak)), "accepted");
  collateral.ak.crls = {authority.crl({{.serial = spec.serial, .revoked = mint_begin()}})};
  EXPECT_EQ(with(authority.issue(spec, ak)), "ak-certificate-revoked");
}

TEST(AkAttackTest, CertificatesAreFew) {
  const Authority authority("an AK authority");
  const auto ak = decode_tpm_public(tpm().rsa_ak().public_area)->key;
  auto evidence = honest_guest().evidence();
  evidence.ak.certificates.resize(8, authority.issue(authority.ak_spec(), ak));
  auto collateral = honest_guest().collateral();
  collateral.ak.roots = {authority.certificate()};
  EXPECT_EQ(judged(evidence, honest_guest().policy(), collateral), "accepted");
  evidence.ak.certificates.push_back(evidence.ak.certificates.front());
  EXPECT_EQ(judged(evidence, honest_guest().policy(), collateral), "evidence-too-large");
}

// A certificate vouches for an AK where there is no TEE.
TEST(AkAttackTest, ACertificateVouchesForAnAkWithoutATee) {
  const Authority authority("an AK authority");
  const auto ak = decode_tpm_public(tpm().rsa_ak().public_area)->key;
  auto evidence = honest_guest().evidence();
  evidence.hcl_report.reset();
  evidence.extended_claims.reset();
  evidence.snp_certificates.clear();
  evidence.ak.certificates = {authority.issue(authority.ak_spec(), ak)};
  auto policy = honest_guest().policy();
  policy.tees = {keybroker::protocol::TeeFamily::kNone};
  policy.hcl.own_form = false;
  EXPECT_EQ(judged(evidence, policy), "ak-untrusted");
  auto collateral = honest_guest().collateral();
  collateral.ak.roots = {authority.certificate()};
  // This authority does not say which VM it certifies; then it is no proof of the one asked for.
  EXPECT_EQ(judged(evidence, policy, collateral), "ak-certificate-vm");
  policy.hcl.vm_id.reset();
  EXPECT_EQ(judged(evidence, policy, collateral), "accepted");
}

// An owner decides whether a list must be there. One that is there must be the authority's own.
TEST(AkAttackTest, RevocationListsAreRequiredWhereThePolicySaysSo) {
  const Authority authority("an AK authority");
  const Authority other("an AK authority");
  const auto ak = decode_tpm_public(tpm().rsa_ak().public_area)->key;
  auto evidence = honest_guest().evidence();
  evidence.ak.certificates = {authority.issue(authority.ak_spec(), ak)};
  auto policy = honest_guest().policy();
  policy.ak.require_certificate = true;
  auto collateral = honest_guest().collateral();
  collateral.ak.roots = {authority.certificate()};
  const auto with = [&](CrlRule rule, const std::vector<crypto::Crl>& crls) {
    policy.ak.crl = rule;
    collateral.ak.crls = crls;
    return judged(evidence, policy, collateral);
  };
  const auto fresh = authority.crl({});
  const auto old = authority.crl({}, mint_begin() - std::chrono::days(60));
  const auto revoking =
      authority.crl({{.serial = authority.ak_spec().serial, .revoked = mint_begin()}});
  EXPECT_EQ(with(CrlRule::kRequired, {}), "ak-crl-missing");
  EXPECT_EQ(with(CrlRule::kRequired, {fresh}), "accepted");
  EXPECT_EQ(with(CrlRule::kIfGiven, {}), "accepted");
  for (const auto rule : {CrlRule::kRequired, CrlRule::kIfGiven}) {
    EXPECT_EQ(with(rule, {old}), "ak-crl-stale");
    EXPECT_EQ(with(rule, {old, fresh}), "accepted");
    EXPECT_EQ(with(rule, {other.crl({})}), "ak-crl-forged");
    EXPECT_EQ(with(rule, {fresh, revoking}), "ak-certificate-revoked");
  }
  EXPECT_EQ(with(CrlRule::kOff, {revoking}), "accepted");

  // Until when the verdict stands is told.
  policy.ak.crl = CrlRule::kRequired;
  collateral.ak.crls = {authority.crl({}, mint_begin() - std::chrono::days(20))};
  const auto verdict = verify(evidence, policy, collateral, honest_guest().store(), mint_begin());
  ASSERT_TRUE(verdict.accepted) << support::failures(verdict);
  EXPECT_EQ(verdict.claims->ak_certificate_until, mint_begin() + std::chrono::days(10));
  EXPECT_EQ(verdict.claims->snp->collateral_until, mint_begin() + std::chrono::days(365));
}

// What the policy names must be there, whoever else vouches.
TEST(AkAttackTest, TheAkIsTheOneThatThePolicyNames) {
  auto policy = honest_guest().policy();
  policy.ak.names = Expectation::one_of({base::Bytes(34)});
  EXPECT_EQ(judged(honest_guest().evidence(), policy), "ak-unexpected");
  policy = honest_guest().policy();
  policy.ak.keys = Expectation::one_of({base::Bytes(32)});
  EXPECT_EQ(judged(honest_guest().evidence(), policy), "ak-unexpected");
}

TEST(AkAttackTest, AnAkThatCannotBeReadOrIsWeakIsNone) {
  auto evidence = honest_guest().evidence();
  evidence.ak.public_area->pop_back();
  EXPECT_EQ(judged(evidence, honest_guest().policy()), "ak-malformed");
  // A bare key of 1024 bits, as an old PEM file may hold it.
  evidence = honest_guest().evidence();
  evidence.hcl_report.reset();
  evidence.extended_claims.reset();
  evidence.snp_certificates.clear();
  evidence.ak = {};
  evidence.ak.bare_key = *crypto::PublicKey::from_spki(*base::from_hex(
      "30819f300d06092a864886f70d010101050003818d0030818902818100c498bdd4c2aa9f1d3c74b0fa598c22fc"
      "6fe509fbcfceb0fc0d721e1aa0e1d3a6161ee5dc33236dae0d06fbe0a9c59962381b4be8889feb9435fc9581bc7b"
      "09962f211157fbdd5d2e5c144bf316dfbaba7cbf4def0d603282aff99c40b36e452e83ffc9909bacb44c706e7188"
      "19a7127f26471f3d93468574d81ac7f73d1e91f30203010001"));
  auto policy = honest_guest().policy();
  policy.tees = {keybroker::protocol::TeeFamily::kNone};
  policy.hcl = {};
  EXPECT_EQ(judged(evidence, policy), "ak-weak");
}

}  // namespace
}  // namespace tests::integration
