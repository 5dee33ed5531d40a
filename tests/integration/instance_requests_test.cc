// SPDX-License-Identifier: Apache-2.0
#include "keybroker/authority/instance_requests.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>

#include "keybroker/crypto/chain.h"
#include "keybroker/store/certificate_database.h"
#include "tests/integration/swtpm.h"
#include "tests/support/simulated_guest.h"
#include "tests/support/temp_folder.h"
#include "vmgs/base/cursor.h"

// What an instance asks of its host's authority, over the messages that travel between the two.
namespace tests::integration {
namespace {

using namespace keybroker::authority;
namespace crypto = keybroker::crypto;
namespace evidence = keybroker::evidence;
namespace instance = strongroom::instance::v1;
namespace protocol = keybroker::protocol;
using support::mint_begin;
using ::testing::HasSubstr;

const auto kNow = mint_begin();

std::string field(base::ByteView bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

crypto::Certificate decoded(const std::string& der) {
  auto certificate = crypto::Certificate::decode(base::bytes_of(der));
  EXPECT_TRUE(certificate);
  return *certificate;
}

// TPMT_PUBLIC by TCG's templates L-1 and L-2 around a key (EK Credential Profile, B.3.3 and B.3.4).
base::Bytes ek_area(const crypto::PublicKey& key) {
  base::Writer out;
  out.u16_be(key.is_rsa() ? 0x0001 : 0x0023);
  out.u16_be(0x000B);
  out.u32_be(0x000300B2);
  out.u16_be(32);
  out.bytes(base::Bytes(32, std::byte{0x83}));
  for (const int word : {0x0006, 0x0080, 0x0043, 0x0010}) {
    out.u16_be(static_cast<std::uint16_t>(word));
  }
  if (const auto numbers = key.rsa_numbers()) {
    out.u16_be(2048);
    out.u32_be(0);
    out.u16_be(256);
    out.bytes(numbers->modulus);
  } else {
    const auto point = *key.ec_point();
    out.u16_be(0x0003);
    out.u16_be(0x0010);
    for (const auto* number : {&point.x, &point.y}) {
      out.u16_be(32);
      out.bytes(*number);
    }
  }
  return std::move(out).take();
}

base::Bytes drawn_ek() { return ek_area(crypto::PrivateKey::generate_rsa(2048)->public_key()); }

base::Bytes drawn_ecc_ek() {
  return ek_area(crypto::PrivateKey::generate_ec(crypto::Curve::kP256)->public_key());
}

class InstanceRequestsTest : public ::testing::Test {
 protected:
  explicit InstanceRequestsTest(CaKey kind = CaKey::kP384)
      : records_(*keybroker::store::CertificateDatabase::open(folder_ / "ca.sqlite")),
        cas_({{AkClass::kHost, *make_issuing_ca(AkClass::kHost, kNow, kind)},
              {AkClass::kCvm, *make_issuing_ca(AkClass::kCvm, kNow, kind)},
              {AkClass::kSimulated, *make_issuing_ca(AkClass::kSimulated, kNow, kind)}}),
        authority_(cas_, records_) {}

  instance::CertificationAnswer ask(const RegisteredVm& vm, instance::CertificationRequest request,
                                    crypto::Time now = kNow) {
    request.set_serial(++serial_);
    auto answer = InstanceRequests(authority_, records_, rules_).answer(vm, request, now);
    EXPECT_EQ(answer.serial(), serial_);
    return answer;
  }

  static std::string refusal(const instance::CertificationAnswer& answer) {
    EXPECT_TRUE(answer.has_refusal()) << answer.refusal().reason();
    EXPECT_FALSE(answer.refusal().may_pass());
    return answer.refusal().reason();
  }

  // Whether a leaf leads to the root of its class by what came with it.
  void expect_chain(const instance::Certificates& given, AkClass ak_class,
                    const std::string& leaf) {
    const auto issuer = decoded(given.ak_chain());
    const auto& root = cas_.at(ak_class).root;
    const auto judged = crypto::verify_path(decoded(leaf), std::array{issuer}, root, kNow,
                                            crypto::Anchor::kAuthority);
    EXPECT_EQ(judged.path, crypto::PathFault::kNone) << judged.path_detail;
  }

  std::size_t revoked(AkClass ak_class) { return authority_.crl(ak_class, kNow)->entries().size(); }

  support::TempFolder folder_;
  keybroker::store::CertificateDatabase records_;
  std::map<AkClass, IssuingCa> cas_;
  Authority authority_;
  ConfidentialRules rules_;
  std::uint64_t serial_ = 0;
};

// An ordinary VM whose TPM is another maker's, with tools that are not ours.
class HostRequestsTest : public InstanceRequestsTest {
 protected:
  explicit HostRequestsTest(CaKey kind = CaKey::kP384) : InstanceRequestsTest(kind) {
    tpm_.make_ak();
    Swtpm::run({"createek", "-Q", "-c", "0x81010001", "-G", "rsa"});
    Swtpm::run({"flushcontext", "-Q", "-t"});
    vm_.vm_id.fill(std::byte{0x6B});
    vm_.launch = base::Bytes(48, std::byte{0x1D});
    ak_ = tpm_.public_area("0x81000003");
    ek_ = tpm_.public_area("0x81010001");
  }

  [[nodiscard]] instance::CertificationRequest host_request() const {
    instance::CertificationRequest request;
    auto& host = *request.mutable_host();
    host.set_ak(field(ak_));
    host.set_rsa_ek(field(ek_));
    return request;
  }

  instance::CertificationRequest proof_of(const instance::Challenge& challenge) const {
    instance::CertificationRequest request;
    auto& proof = *request.mutable_host_proof();
    proof.set_challenge(challenge.id());
    proof.set_secret(field(tpm_.activate(base::bytes_of(challenge.credential_blob()),
                                         base::bytes_of(challenge.encrypted_secret()))));
    return request;
  }

  // certify() goes the whole way.
  instance::CertificationAnswer certify(const instance::CertificationRequest& request) {
    auto answer = ask(vm_, request);
    EXPECT_TRUE(answer.has_challenge()) << answer.refusal().reason();
    return ask(vm_, proof_of(answer.challenge()));
  }

  Swtpm tpm_{folder_.path()};
  RegisteredVm vm_;
  base::Bytes ak_;
  base::Bytes ek_;
};

TEST_F(HostRequestsTest, ATpmThatProvesItsAkIsCertified) {
  auto request = host_request();
  request.mutable_host()->set_claims_digest(std::string(32, '\x11'));
  const auto answer = certify(request);

  ASSERT_TRUE(answer.has_certificates()) << answer.refusal().reason();
  const auto& given = answer.certificates();
  const auto certificate = decoded(given.ak());
  EXPECT_EQ(*certificate.public_key(), evidence::decode_tpm_public(ak_)->key);
  expect_chain(given, AkClass::kHost, given.ak());
  EXPECT_TRUE(given.rsa_ek().empty());
  const auto statement = *keybroker::evidence::ak_statement_of(certificate);
  EXPECT_EQ(statement.vm_id, vm_.vm_id);
  EXPECT_EQ(statement.launch, vm_.launch);
  EXPECT_EQ(statement.protection, vm_.protection);
  EXPECT_EQ(statement.claims_digest.front(), std::byte{0x11});
}

TEST_F(HostRequestsTest, AnAkThatHasACertificateIsRenewedAtOnce) {
  ASSERT_TRUE(certify(host_request()).has_certificates());
  const auto later = kNow + std::chrono::hours(84);
  const auto renewed = ask(vm_, host_request(), later);
  ASSERT_TRUE(renewed.has_certificates()) << renewed.refusal().reason();
  EXPECT_EQ(decoded(renewed.certificates().ak()).not_before(), later);
  EXPECT_EQ(revoked(AkClass::kHost), 0U) << "the old one stays good until it ends";
  // Once all have ended, or were taken back, the TPM proves its AK again.
  EXPECT_TRUE(ask(vm_, host_request(), kNow + std::chrono::days(11)).has_challenge());
  ASSERT_TRUE(authority_.revoke(vm_.vm_id, kNow));
  EXPECT_TRUE(ask(vm_, host_request()).has_challenge());
}

TEST_F(HostRequestsTest, AnotherAkOrEkIsNotRenewed) {
  ASSERT_TRUE(certify(host_request()).has_certificates());
  auto request = host_request();
  const auto other = crypto::PrivateKey::generate_rsa(2048)->public_key().rsa_numbers();
  auto area = ak_;
  std::ranges::copy(other->modulus, area.end() - 256);
  request.mutable_host()->set_ak(field(area));
  EXPECT_TRUE(ask(vm_, request).has_challenge());
  request = host_request();
  request.mutable_host()->set_rsa_ek(field(drawn_ek()));
  EXPECT_THAT(refusal(ask(vm_, request)), HasSubstr("another EK"));
}

TEST_F(HostRequestsTest, NewSeedsReplaceTheEkAndEndWhatWasIssued) {
  ASSERT_TRUE(certify(host_request()).has_certificates());
  auto request = host_request();
  const auto ek = drawn_ek();
  request.mutable_host()->set_rsa_ek(field(ek));
  request.mutable_host()->set_new_seeds(true);
  EXPECT_TRUE(ask(vm_, request).has_challenge());
  EXPECT_EQ(*records_.ek_of(vm_.vm_id), ek);
  EXPECT_EQ(revoked(AkClass::kHost), 1U);
  // To say so again, of the same TPM, ends nothing.
  EXPECT_TRUE(ask(vm_, request).has_challenge());
  EXPECT_EQ(*records_.ek_of(vm_.vm_id), ek);
}

TEST_F(HostRequestsTest, AChallengeIsForTheVmItWasGivenTo) {
  const auto challenge = ask(vm_, host_request()).challenge();
  const auto proof = proof_of(challenge);
  auto other = vm_;
  other.vm_id.fill(std::byte{0x6C});
  EXPECT_THAT(refusal(ask(other, proof)), HasSubstr("challenge"));
  EXPECT_TRUE(records_.of_vm(vm_.vm_id)->empty());
}

TEST_F(HostRequestsTest, AWeakerProtectionOfTheSameAkIsRefused) {
  ASSERT_TRUE(certify(host_request()).has_certificates());
  vm_.protection = protocol::Protection::kNone;
  EXPECT_THAT(refusal(certify(host_request())), HasSubstr("weaker"));
  EXPECT_EQ(revoked(AkClass::kHost), 1U);
}

TEST_F(HostRequestsTest, EndorsementKeysGetCertificatesOfTheProfile) {
  auto request = host_request();
  const auto ecc_ek = drawn_ecc_ek();
  request.mutable_host()->set_ecc_ek(field(ecc_ek));
  request.mutable_host()->set_wants_ek_certificates(true);
  const auto first = certify(request).certificates();

  struct Wanted {
    const std::string& der;
    const base::Bytes& area;
    const char* usage;
  };

  for (const auto& wanted : {Wanted{first.rsa_ek(), ek_, "Key Encipherment"},
                             Wanted{first.ecc_ek(), ecc_ek, "Key Agreement"}}) {
    const auto certificate = decoded(wanted.der);
    EXPECT_EQ(*certificate.public_key(), evidence::decode_tpm_public(wanted.area)->key);
    EXPECT_EQ(certificate.purposes(), std::vector<std::string>{"2.23.133.8.1"});
    EXPECT_EQ(certificate.not_after(), kNow + std::chrono::days(365));
    EXPECT_LE(wanted.der.size(), 2048U);
    expect_chain(first, AkClass::kHost, wanted.der);
    std::ofstream(folder_ / "ek.pem") << certificate.pem();
    const auto shown = support::run_command(
        {"/usr/bin/openssl", "x509", "-noout", "-text", "-in", folder_ / "ek.pem"});
    EXPECT_THAT(shown.out, HasSubstr(wanted.usage));
    EXPECT_THAT(shown.out, HasSubstr("X509v3 Subject Alternative Name: critical\n"
                                     "                "
                                     "DirName:/2.23.133.2.1=id:49424D00/2.23.133.2.2=SW   TPM/"
                                     "2.23.133.2.3=id:20191023"));
    EXPECT_THAT(shown.out, HasSubstr("Subject: \n"));
  }
  // The same certificates come with a renewal, up to half of their lives.
  const auto renewed = ask(vm_, request, kNow + std::chrono::days(4)).certificates();
  EXPECT_EQ(renewed.rsa_ek(), first.rsa_ek());
  EXPECT_EQ(renewed.ecc_ek(), first.ecc_ek());
  EXPECT_NE(renewed.ak(), first.ak());
  ASSERT_TRUE(authority_.forget(vm_.vm_id, kNow));
  EXPECT_EQ(revoked(AkClass::kHost), 4U);
}

TEST_F(HostRequestsTest, AnEphemeralTpmsEkCertificateDoesNotOutliveItByYears) {
  vm_.lifetime = protocol::Lifetime::kEphemeral;
  auto request = host_request();
  request.mutable_host()->set_wants_ek_certificates(true);
  const auto given = certify(request).certificates();
  EXPECT_EQ(decoded(given.rsa_ek()).not_after(), kNow + std::chrono::days(7));
}

TEST_F(HostRequestsTest, NonsenseIsRefusedWithAReason) {
  EXPECT_THAT(refusal(ask(vm_, {})), HasSubstr("nothing that is known"));
  auto request = host_request();
  request.mutable_host()->set_ak("no public area");
  EXPECT_THAT(refusal(ask(vm_, request)), HasSubstr("TPMT_PUBLIC"));
  request = host_request();
  request.mutable_host()->set_rsa_ek("");
  EXPECT_THAT(refusal(ask(vm_, request)), HasSubstr("TPMT_PUBLIC"));
  request = host_request();
  request.mutable_host()->set_claims_digest("short");
  EXPECT_THAT(refusal(ask(vm_, request)), HasSubstr("digest of the claims"));
  vm_.tee = protocol::TeeFamily::kTdx;
  EXPECT_THAT(refusal(ask(vm_, host_request())), HasSubstr("certified by evidence"));
}

// An RSA CA, for clients that know no ECDSA: everything must still fit an NV index.
class RsaRequestsTest : public HostRequestsTest {
 protected:
  RsaRequestsTest() : HostRequestsTest(CaKey::kRsa3072) {}
};

TEST_F(RsaRequestsTest, TheLargestCertificatesFitTheirIndices) {
  auto request = host_request();
  request.mutable_host()->set_ecc_ek(field(drawn_ecc_ek()));
  request.mutable_host()->set_wants_ek_certificates(true);
  const auto given = certify(request).certificates();
  ASSERT_FALSE(given.ak().empty());
  expect_chain(given, AkClass::kHost, given.ak());
  for (const auto* der : {&given.ak_chain(), &given.rsa_ek(), &given.ecc_ek()}) {
    EXPECT_GT(der->size(), 0U);
    EXPECT_LE(der->size(), 2048U);
  }
  // The same leaf with the longest statement that can be made.
  AkStatement longest;
  longest.ak_class = AkClass::kSimulated;
  longest.tee = protocol::TeeFamily::kSevSnp;
  longest.measurement = longest.launch = base::Bytes(48, std::byte{1});
  longest.protection = protocol::Protection::kHardware;
  longest.origin = protocol::SeedOrigin::kImported;
  longest.epoch = ~0ULL;
  longest.ak_name = longest.ek_name = base::Bytes(34, std::byte{2});
  const auto there = encode(*keybroker::evidence::ak_statement_of(decoded(given.ak())));
  EXPECT_LE(given.ak().size() + encode(longest).size() - there.size() + 8, 2048U);
}

// A confidential VM of simulated hardware with a real TPM. Each test spoils one thing.
class ConfidentialRequestsTest : public InstanceRequestsTest {
 protected:
  ConfidentialRequestsTest() : guest_(support::booted()) {
    vm_.vm_id = guest_.extended.vm_id;
    vm_.tee = protocol::TeeFamily::kSevSnp;
    vm_.launch = guest_.extended.launch;
    vm_.protection = protocol::Protection::kHardware;
    rules_.policy = guest_.policy();
    rules_.policy->hcl.vm_id.reset();
    rules_.collateral = [this](evidence::Evidence& shown) -> base::Result<evidence::Collateral> {
      shown.snp_certificates = guest_.evidence().snp_certificates;
      return guest_.collateral();
    };
    rules_.simulated = guest_.store();
  }

  [[nodiscard]] instance::CertificationRequest request() const {
    instance::CertificationRequest request;
    auto& asked = *request.mutable_confidential();
    const auto shown = guest_.evidence();
    asked.set_hcl_report(field(*shown.hcl_report));
    asked.set_extended_claims(*shown.extended_claims);
    return request;
  }

  support::SimulatedGuest guest_;
  RegisteredVm vm_;
};

TEST_F(ConfidentialRequestsTest, EvidenceOfTheRegisteredVmIsCertified) {
  const auto answer = ask(vm_, request());
  ASSERT_TRUE(answer.has_certificates()) << answer.refusal().reason();
  const auto& given = answer.certificates();
  expect_chain(given, AkClass::kSimulated, given.ak());
  const auto statement = *keybroker::evidence::ak_statement_of(decoded(given.ak()));
  EXPECT_EQ(statement.ak_class, AkClass::kSimulated);
  EXPECT_EQ(statement.vm_id, vm_.vm_id);
  EXPECT_EQ(statement.launch, vm_.launch);
}

// An instance of one VM does not get a certificate that names another.
TEST_F(ConfidentialRequestsTest, EvidenceOfAnotherVmIsRefused) {
  auto other = vm_;
  other.vm_id.front() ^= std::byte{1};
  EXPECT_THAT(refusal(ask(other, request())), HasSubstr("vm-id-mismatch"));
  other = vm_;
  other.launch.front() ^= std::byte{1};
  EXPECT_THAT(refusal(ask(other, request())), HasSubstr("host-data"));
  other = vm_;
  other.tee = protocol::TeeFamily::kTdx;
  EXPECT_THAT(refusal(ask(other, request())), HasSubstr("tee-refused"));
  other.tee = protocol::TeeFamily::kNone;
  EXPECT_THAT(refusal(ask(other, request())), HasSubstr("ordinary one"));
  EXPECT_TRUE(records_.vms(kNow)->empty());
}

// What an owner's policy says of the VM does not let another one in.
TEST_F(ConfidentialRequestsTest, ThePolicyDoesNotSayWhichVmItIs) {
  rules_.policy->snp.host_data = evidence::Expectation::any();
  rules_.policy->hcl.vm_id = guest_.extended.vm_id;
  auto other = vm_;
  other.vm_id.front() ^= std::byte{1};
  EXPECT_THAT(refusal(ask(other, request())), HasSubstr("vm-id-mismatch"));
  other = vm_;
  other.launch.front() ^= std::byte{1};
  EXPECT_THAT(refusal(ask(other, request())), HasSubstr("host-data"));
}

TEST_F(ConfidentialRequestsTest, ASimulatorIsBelievedWhereItsRootsAreNamed) {
  rules_.simulated.reset();
  EXPECT_THAT(refusal(ask(vm_, request())), HasSubstr("simulator"));
  EXPECT_TRUE(ask(vm_, request()).refusal().not_offered());
  // To leave the word out of the claims leads to production's roots, which do not know it.
  guest_.extended.tee_simulated = false;
  EXPECT_THAT(refusal(ask(vm_, request())), HasSubstr("simulated-in-production"));
  rules_.simulated = guest_.store();
  EXPECT_THAT(refusal(ask(vm_, request())), HasSubstr("simulated-in-production"));
}

TEST_F(ConfidentialRequestsTest, WithoutAPolicyNothingIsOfferedAndWithOneARefusalIsOne) {
  rules_.policy->snp.measurements = evidence::Expectation::one_of({base::Bytes(48)});
  EXPECT_FALSE(ask(vm_, request()).refusal().not_offered());
  rules_.policy.reset();
  EXPECT_TRUE(ask(vm_, request()).refusal().not_offered());
}

TEST_F(ConfidentialRequestsTest, OnlyEksOfTheClaimsGetCertificates) {
  const auto ek = drawn_ek();
  const auto ecc_ek = drawn_ecc_ek();
  const auto asking = [&] {
    auto made = request();
    made.mutable_confidential()->set_rsa_ek(field(ek));
    made.mutable_confidential()->set_ecc_ek(field(ecc_ek));
    return ask(vm_, made).certificates();
  };
  const auto unnamed = asking();
  EXPECT_FALSE(unnamed.ak().empty());
  EXPECT_TRUE(unnamed.rsa_ek().empty());
  EXPECT_TRUE(unnamed.ecc_ek().empty());
  guest_.extended.ek_name = evidence::decode_tpm_public(ek)->name;
  guest_.extended.ecc_ek_name = evidence::decode_tpm_public(ecc_ek)->name;
  const auto named = asking();
  EXPECT_EQ(*decoded(named.rsa_ek()).public_key(), evidence::decode_tpm_public(ek)->key);
  EXPECT_EQ(*decoded(named.ecc_ek()).public_key(), evidence::decode_tpm_public(ecc_ek)->key);
}

TEST_F(ConfidentialRequestsTest, AwayCollateralMayPass) {
  rules_.collateral = [](evidence::Evidence&) -> base::Result<evidence::Collateral> {
    return base::fail(base::ErrorCode::kIo, "the folder is away");
  };
  const auto answer = ask(vm_, request());
  ASSERT_TRUE(answer.has_refusal());
  EXPECT_TRUE(answer.refusal().may_pass());
  EXPECT_THAT(answer.refusal().reason(), HasSubstr("away"));
}

TEST(RegisteredVmTest, IsWhatTheLaunchDocumentSays) {
  protocol::LaunchDocument document;
  document.vm_id.fill(std::byte{7});
  document.protection = protocol::Protection::kHardware;
  for (const auto family : {protocol::TeeFamily::kSevSnp, protocol::TeeFamily::kTdx}) {
    document.tee_family = family;
    const auto encoded = *protocol::encode(document);
    const auto vm = *registered_vm(encoded);
    EXPECT_EQ(vm.vm_id, document.vm_id);
    EXPECT_EQ(vm.tee, family);
    EXPECT_EQ(vm.protection, document.protection);
    auto launch = base::copy_of(protocol::launch_digest(encoded, family).bytes);
    launch.resize(family == protocol::TeeFamily::kSevSnp ? 32 : 48);
    EXPECT_EQ(vm.launch, launch);
  }
  EXPECT_FALSE(registered_vm(base::bytes_of("no document")));
}

}  // namespace
}  // namespace tests::integration
