// SPDX-License-Identifier: Apache-2.0
#include "keybroker/authority/authority.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "keybroker/crypto/issue.h"
#include "keybroker/store/certificate_database.h"
#include "tests/support/error_code.h"
#include "tests/support/simulated_guest.h"
#include "tests/support/temp_folder.h"
#include "vmgs/crypto/digest.h"

// The AK authority, on evidence of a simulated machine with a real TPM. Each test spoils one thing
// of a request that is granted.
namespace tests::integration {
namespace {

using namespace keybroker::authority;
namespace evidence = keybroker::evidence;
namespace protocol = keybroker::protocol;
using support::error_code;
using support::mint_begin;
using support::SimulatedGuest;
using ::testing::HasSubstr;

class AuthorityTest : public ::testing::Test {
 protected:
  AuthorityTest()
      : records_(*keybroker::store::CertificateDatabase::open(folder_ / "ca.sqlite")),
        ca_(*make_issuing_ca(AkClass::kSimulated, mint_begin())),
        authority_({{AkClass::kSimulated, ca_}}, records_) {}

  // A guest that asks at its boot: the nonce is in the claims.
  static SimulatedGuest guest() {
    auto made = support::booted();
    std::ranges::copy(made.nonce, made.runtime.user_data->begin());
    return made;
  }

  base::Result<Certified> certify(const SimulatedGuest& asking, const evidence::Evidence& shown,
                                  keybroker::crypto::Time now = mint_begin()) {
    const auto policy = asking.policy();
    const auto collateral = asking.collateral();
    const auto store = asking.store();
    return authority_.certify_confidential(shown, {policy, collateral, store, now, 7});
  }

  base::Result<Certified> certify(const SimulatedGuest& asking,
                                  keybroker::crypto::Time now = mint_begin()) {
    return certify(asking, asking.evidence(), now);
  }

  std::string refusal(const SimulatedGuest& asking) {
    const auto certified = certify(asking);
    EXPECT_EQ(error_code(certified), base::ErrorCode::kDenied);
    return certified ? "certified" : certified.error().message;
  }

  std::size_t revoked_now() {
    return authority_.crl(AkClass::kSimulated, mint_begin())->entries().size();
  }

  support::TempFolder folder_;
  keybroker::store::CertificateDatabase records_;
  IssuingCa ca_;
  Authority authority_;
};

TEST_F(AuthorityTest, CertifiesTheAkOfVerifiedClaims) {
  const auto asking = guest();
  const auto certified = certify(asking);
  ASSERT_TRUE(certified) << certified.error().message;
  const auto& certificate = certified->certificate;

  EXPECT_EQ(*certificate.public_key(),
            evidence::decode_tpm_public(support::process_tpm().rsa_ak().public_area)->key);
  EXPECT_TRUE(certificate.has_purpose("2.23.133.8.3"));
  EXPECT_FALSE(certificate.is_ca());
  EXPECT_LE(certificate.der().size(), 2048U);
  EXPECT_EQ(certificate.not_after() - certificate.not_before(), std::chrono::days(7));
  EXPECT_EQ(certificate.renewal_time(), mint_begin() + std::chrono::hours(84));
  const auto statement = keybroker::evidence::ak_statement_of(certificate);
  ASSERT_TRUE(statement) << statement.error().message;
  EXPECT_EQ(statement->ak_class, AkClass::kSimulated);
  EXPECT_EQ(statement->vm_id, asking.extended.vm_id);
  EXPECT_EQ(statement->tee, protocol::TeeFamily::kSevSnp);
  EXPECT_EQ(statement->measurement, base::copy_of(asking.report.measurement));
  EXPECT_EQ(statement->launch, asking.extended.launch);
  EXPECT_EQ(statement->protection, protocol::Protection::kHardware);
  EXPECT_EQ(statement->epoch, 7U);
  EXPECT_EQ(statement->ak_name, asking.extended.ak_name);
  EXPECT_EQ(statement->ek_name, asking.extended.ek_name);
  const auto hcl = *evidence::decode_hcl_report(*asking.evidence().hcl_report);
  EXPECT_EQ(statement->claims_digest, vmgs::crypto::sha256(base::bytes_of(hcl.claims)));
}

// A relying party that takes certificates only: what is certified has to be what it asked for.
TEST_F(AuthorityTest, AVerifierTakesACertificateOfTheClassAndTheVmThatItExpects) {
  const auto asking = guest();
  const auto certified = *certify(asking);
  auto shown = asking.evidence();
  shown.ak.certificates = {certified.certificate.der(), certified.chain.front().der()};
  auto policy = asking.policy();
  auto collateral = asking.collateral();
  collateral.ak.roots = {ca_.root};
  const auto judged = [&](const evidence::TrustStore& store) {
    return verify(shown, policy, collateral, store, mint_begin());
  };

  policy.ak.classes = {AkClass::kSimulated};
  const auto accepted = judged(asking.store());
  ASSERT_TRUE(accepted.accepted) << accepted.detail;
  ASSERT_TRUE(accepted.claims->ak_statement);
  EXPECT_EQ(accepted.claims->ak_statement->vm_id, asking.extended.vm_id);
  policy.ak.classes = {AkClass::kCvm, AkClass::kHost};
  EXPECT_EQ(support::reason(judged(asking.store())), "ak-certificate-class");

  // Without the report, only the certificate says which VM it is.
  shown.hcl_report.reset();
  shown.extended_claims.reset();
  shown.snp_certificates.clear();
  policy.tees = {protocol::TeeFamily::kNone};
  policy.hcl.own_form = false;
  policy.ak.classes.clear();
  policy.log.required = false;
  policy.boot.reset();
  EXPECT_EQ(support::reason(judged(asking.store())), "accepted");
  policy.hcl.vm_id->front() ^= std::byte{1};
  EXPECT_EQ(support::reason(judged(asking.store())), "ak-certificate-vm");
  policy.hcl.vm_id.reset();

  // And a simulator's root is none for production, whoever hands it in.
  EXPECT_EQ(support::reason(judged(evidence::TrustStore::production())), "simulated-in-production");
}

// Whoever relies on the guest later verifies its quote with this certificate.
TEST_F(AuthorityTest, AVerifierTakesTheCertificateUntilItIsRevoked) {
  const auto asking = guest();
  const auto certified = *certify(asking);
  auto shown = asking.evidence();
  shown.ak.certificates = {certified.certificate.der(), certified.chain.front().der()};
  auto policy = asking.policy();
  policy.ak.require_certificate = true;
  auto collateral = asking.collateral();
  collateral.ak.roots = {ca_.root};
  collateral.ak.crls = {*authority_.crl(AkClass::kSimulated, mint_begin())};
  const auto judged = [&] {
    return support::reason(verify(shown, policy, collateral, asking.store(), mint_begin()));
  };
  EXPECT_EQ(judged(), "accepted");
  EXPECT_TRUE(authority_.revoke(asking.extended.vm_id, mint_begin()));
  collateral.ak.crls = {*authority_.crl(AkClass::kSimulated, mint_begin())};
  EXPECT_EQ(judged(), "ak-certificate-revoked");
}

TEST_F(AuthorityTest, AKeyBesideTheClaimsIsIgnored) {
  const auto asking = guest();
  auto shown = asking.evidence();
  shown.ak.public_area = support::process_tpm().unrestricted_key().public_area;
  const auto certified = certify(asking, shown);
  ASSERT_TRUE(certified) << certified.error().message;
  EXPECT_EQ(*certified->certificate.public_key(),
            evidence::decode_tpm_public(support::process_tpm().rsa_ak().public_area)->key);
}

// The CVE of the reference: a key of the guest's own making, under the AK's name.
TEST_F(AuthorityTest, OnlyAKeyOfTheTemplateIsCertified) {
  auto asking = guest();
  const auto other =
      *evidence::decode_tpm_public(support::process_tpm().unrestricted_key().public_area);
  const auto numbers = *other.key.rsa_numbers();
  asking.runtime.keys.front().modulus = numbers.modulus;
  EXPECT_THAT(refusal(asking), HasSubstr("AK template"));
  asking.extended.ak_name = other.name;
  EXPECT_THAT(refusal(asking), HasSubstr("AK template"));
}

TEST_F(AuthorityTest, EvidenceThatIsRefusedCertifiesNothing) {
  auto asking = guest();
  asking.report.vmpl = 1;
  EXPECT_THAT(refusal(asking), HasSubstr("snp-vmpl-refused"));
  asking = guest();
  asking.report.policy = 0xB0000;
  EXPECT_THAT(refusal(asking), HasSubstr("snp-debug-allowed"));
  asking = guest();
  asking.runtime.user_data->front() ^= std::byte{1};
  EXPECT_THAT(refusal(asking), HasSubstr("nonce-mismatch"));
  asking = guest();
  auto shown = asking.evidence();
  shown.hcl_report.reset();
  EXPECT_EQ(error_code(certify(asking, shown)), base::ErrorCode::kDenied);
  EXPECT_EQ(revoked_now(), 0U);
  EXPECT_TRUE(records_.of_vm(asking.extended.vm_id)->empty());
}

TEST_F(AuthorityTest, ForeignSeedsAreNotVouchedFor) {
  for (const auto origin : {protocol::SeedOrigin::kForeign, protocol::SeedOrigin::kImported}) {
    auto asking = guest();
    asking.extended.origin = origin;
    EXPECT_THAT(refusal(asking), HasSubstr("somebody else may know them"));
  }
}

TEST_F(AuthorityTest, HasNoCaForAnotherClass) {
  Authority other({}, records_);
  const auto asking = guest();
  const auto policy = asking.policy();
  const auto collateral = asking.collateral();
  const auto store = asking.store();
  const auto certified =
      other.certify_confidential(asking.evidence(), {policy, collateral, store, mint_begin(), 0});
  EXPECT_EQ(error_code(certified), base::ErrorCode::kDenied);
  EXPECT_EQ(error_code(other.crl(AkClass::kCvm, mint_begin())), base::ErrorCode::kDenied);
}

// Decision of the design: an old certificate must not go on vouching for a key that is kept worse.
TEST_F(AuthorityTest, AWeakerProtectionNeedsAnotherKey) {
  auto asking = guest();
  ASSERT_TRUE(certify(asking));
  asking.extended.state_protection.mode = protocol::Protection::kHost;
  EXPECT_THAT(refusal(asking), HasSubstr("weaker"));
  EXPECT_EQ(revoked_now(), 1U);
  // As strong as before, or stronger, is a renewal.
  asking.extended.state_protection.mode = protocol::Protection::kBroker;
  EXPECT_TRUE(certify(asking));
}

TEST_F(AuthorityTest, RenewalLeavesTheOldCertificateGood) {
  const auto asking = guest();
  const auto first = *certify(asking);
  const auto second = *certify(asking, first.certificate.renewal_time());
  EXPECT_NE(first.certificate.serial(), second.certificate.serial());
  EXPECT_EQ(revoked_now(), 0U);
}

// Who asks without end fills no records.
TEST_F(AuthorityTest, AYoungCertificateForTheSameStatementIsGivenAgain) {
  const auto asking = guest();
  const auto first = *certify(asking);
  const auto again = *certify(asking, first.certificate.renewal_time() - std::chrono::seconds(1));
  EXPECT_EQ(again.certificate, first.certificate);
  ASSERT_EQ(again.chain.size(), 1U);
  EXPECT_EQ(again.chain.front(), first.chain.front());
  EXPECT_EQ(records_.of_vm(asking.extended.vm_id)->size(), 1U);
  // Not a revoked one, and not for other claims.
  ASSERT_TRUE(authority_.revoke(asking.extended.vm_id, mint_begin()));
  const auto second = *certify(asking);
  EXPECT_NE(second.certificate, first.certificate);
  auto stronger = asking;
  stronger.extended.state_protection.mode = protocol::Protection::kBroker;
  EXPECT_NE(certify(stronger)->certificate, second.certificate);
}

TEST_F(AuthorityTest, AVmHasNoMoreCertificatesThanListsCanHold) {
  AuthorityRules few;
  few.most_unended = 2;
  Authority authority({{AkClass::kSimulated, ca_}}, records_, few);
  const auto asking = guest();
  const auto vm_id = asking.extended.vm_id;
  const auto policy = asking.policy();
  const auto collateral = asking.collateral();
  const auto store = asking.store();
  const auto ask = [&] {
    return authority.certify_confidential(asking.evidence(),
                                          {policy, collateral, store, mint_begin(), 7});
  };
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(ask());
    ASSERT_TRUE(authority.revoke(vm_id, mint_begin()));
  }
  EXPECT_EQ(error_code(ask()), base::ErrorCode::kUnavailable);
  EXPECT_EQ(records_.of_vm(vm_id)->size(), 2U);
}

TEST_F(AuthorityTest, ANewKeyEndsTheCertificatesOfTheOldOne) {
  const auto before = guest();
  const auto first = *certify(before);
  // Another key was certified for this VM in a life before.
  auto record = records_.of_vm(before.extended.vm_id)->front();
  record.serial.back() ^= std::byte{1};
  record.statement.ak_name.back() ^= std::byte{1};
  ASSERT_TRUE(records_.add(record));
  ASSERT_TRUE(certify(before));
  const auto listed = authority_.crl(AkClass::kSimulated, mint_begin())->entries();
  ASSERT_EQ(listed.size(), 1U);
  EXPECT_EQ(listed.front().serial, record.serial);
}

TEST_F(AuthorityTest, ListsHaveNumbersAndEnds) {
  const auto asking = guest();
  EXPECT_EQ(error_code(authority_.revoke(asking.extended.vm_id, mint_begin())),
            base::ErrorCode::kNotFound);
  const auto crl = *authority_.crl(AkClass::kSimulated, mint_begin());
  EXPECT_TRUE(crl.verify(*ca_.certificate.public_key()));
  EXPECT_EQ(crl.next_update() - crl.this_update(), std::chrono::hours(24));
  EXPECT_EQ(crl.issuer_der(), ca_.certificate.subject_der());
  // What was revoked is in one list more than it lives.
  const auto certificate = certify(asking)->certificate;
  ASSERT_TRUE(authority_.revoke(asking.extended.vm_id, mint_begin()));
  const auto names_it = [&](std::chrono::seconds after_its_end) {
    const auto now = certificate.not_after() + after_its_end;
    EXPECT_TRUE(authority_.keep_house(now));
    return authority_.crl(AkClass::kSimulated, now)->revokes(certificate);
  };
  EXPECT_TRUE(names_it(std::chrono::hours(24)));
  EXPECT_FALSE(names_it(std::chrono::hours(24) + std::chrono::seconds(1)));
}

TEST_F(AuthorityTest, AListIsGivenHoweverLongItIs) {
  // A revoked certificate takes some 35 bytes.
  std::vector<keybroker::crypto::Crl::Entry> entries(130'000);
  for (std::size_t i = 0; i < entries.size(); ++i) {
    entries[i].serial = base::Bytes(16, std::byte{0x41});
    for (std::size_t digit = 0; digit < 4; ++digit) {
      entries[i].serial[digit + 1] = static_cast<std::byte>(i >> (8 * digit));
    }
    entries[i].revoked = mint_begin();
  }
  const auto crl =
      keybroker::crypto::issue_crl({.issuer = keybroker::authority::ca_name(AkClass::kSimulated),
                                    .this_update = mint_begin(),
                                    .next_update = mint_begin() + std::chrono::hours(24),
                                    .number = 1,
                                    .revoked = std::move(entries)},
                                   ca_.key);
  ASSERT_TRUE(crl) << crl.error().message;
  EXPECT_GT(crl->der().size(), keybroker::crypto::kMaxCrlBytes);
  EXPECT_EQ(error_code(keybroker::crypto::Crl::decode(crl->der())), base::ErrorCode::kCorrupt);
}

TEST_F(AuthorityTest, TheThreeClassesHaveCasOfTheirOwn) {
  const auto cvm = *make_issuing_ca(AkClass::kCvm, mint_begin());
  const auto host = *make_issuing_ca(AkClass::kHost, mint_begin());
  EXPECT_NE(cvm.certificate.subject_der(), host.certificate.subject_der());
  EXPECT_NE(cvm.root.subject_der(), host.root.subject_der());
  EXPECT_TRUE(evidence::carries_simulated_marker(ca_.root));
  EXPECT_TRUE(evidence::carries_simulated_marker(ca_.certificate));
  EXPECT_FALSE(evidence::carries_simulated_marker(cvm.root));
  EXPECT_FALSE(evidence::carries_simulated_marker(host.certificate));
}

}  // namespace
}  // namespace tests::integration
