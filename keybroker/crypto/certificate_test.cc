// SPDX-License-Identifier: Apache-2.0
#include "keybroker/crypto/certificate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "keybroker/crypto/chain.h"
#include "keybroker/crypto/crl.h"
#include "tests/support/error_code.h"
#include "tests/support/evidence_vectors.h"

namespace keybroker::crypto {
namespace {

using ::testing::HasSubstr;
using tests::support::error_code;
using tests::support::read_evidence_vector;

class CertificateVectorsTest : public tests::support::EvidenceVectors {
 protected:
  static Certificate der(const std::string& name) {
    return *Certificate::decode(read_evidence_vector(name));
  }

  static std::string text(const std::string& name) {
    const auto bytes = read_evidence_vector(name);
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }

  static std::vector<Certificate> pem(const std::string& name) {
    return *decode_pem_certificates(text(name), 3);
  }

  static Time at(const char* time) { return *parse_time(time); }
};

TEST_F(CertificateVectorsTest, ReadsAVcekAndItsChain) {
  const auto vcek = der("snp/milan-v2-clean.vcek.der");
  const auto authorities = pem("roots/amd/milan-ask-ark.pem");

  EXPECT_EQ(vcek.subject_common_name(), "SEV-VCEK");
  EXPECT_EQ(vcek.issuer_common_name(), "SEV-Milan");
  EXPECT_EQ(to_text(vcek.not_before()), "2023-04-03T19:23:43Z");
  EXPECT_EQ(to_text(vcek.not_after()), "2030-04-03T19:23:43Z");
  EXPECT_TRUE(vcek.serial().empty());
  EXPECT_EQ(vcek.signature_algorithm(), kPssSha384);
  EXPECT_EQ(vcek.public_key()->curve(), Curve::kP384);
  EXPECT_FALSE(vcek.is_ca());
  EXPECT_EQ(base::to_hex(*vcek.extension("1.3.6.1.4.1.3704.1.3.8").value()), "020173");
  EXPECT_FALSE(vcek.extension("1.2.3")->has_value());
  ASSERT_EQ(authorities.size(), 2U);
  EXPECT_EQ(authorities[0].public_key()->bits(), 4096U);
  EXPECT_EQ(base::to_hex(authorities[0].serial()), "010001");
  EXPECT_TRUE(authorities[0].is_ca());
  EXPECT_TRUE(verify_issued(vcek, *authorities[0].public_key()));
  EXPECT_EQ(error_code(verify_issued(vcek, *authorities[1].public_key())),
            base::ErrorCode::kAuthentication);
}

TEST_F(CertificateVectorsTest, ReadsTheUsesOfAnAkCertificate) {
  const auto certificate = der("tpm/azure-ak-cert.der");

  EXPECT_EQ(certificate.subject(), "CN=66f962d2e762.ConfidentialVM.Azure.windows.net");
  EXPECT_TRUE(certificate.has_purpose("2.23.133.8.3"));
  EXPECT_FALSE(certificate.has_purpose("2.23.133.8.1"));
  EXPECT_TRUE(certificate.may_sign());
  EXPECT_EQ(describe(certificate.signature_algorithm()), "RSA PKCS #1 v1.5 with SHA-256");
}

TEST_F(CertificateVectorsTest, RefusesEveryCutAndEveryAddedByte) {
  auto bytes = read_evidence_vector("snp/milan-v2-clean.vcek.der");
  for (std::size_t size = 0; size < bytes.size(); size += 7) {
    EXPECT_EQ(error_code(Certificate::decode(base::ByteView(bytes).first(size))),
              base::ErrorCode::kCorrupt)
        << size;
  }
  bytes.push_back(std::byte{0});
  EXPECT_EQ(error_code(Certificate::decode(bytes)), base::ErrorCode::kCorrupt);
  EXPECT_THAT(Certificate::decode(base::Bytes(kMaxCertificateBytes + 1)).error().message,
              HasSubstr("at most 16384"));
}

TEST_F(CertificateVectorsTest, ReadsOnlyPlainPem) {
  const auto good = text("roots/amd/milan-ask-ark.pem");
  const auto refusal = [](const std::string& pem) {
    const auto certificates = decode_pem_certificates(pem, 2);
    return certificates ? "accepted" : certificates.error().message;
  };
  EXPECT_EQ(refusal(good), "accepted");
  EXPECT_EQ(refusal("\n \t" + good + std::string(3, '\0')), "accepted");
  EXPECT_THAT(refusal(good + good), HasSubstr("more than 2"));
  EXPECT_THAT(refusal(good + "x"), HasSubstr("something other"));
  EXPECT_THAT(refusal(good + std::string("\0x", 2)), HasSubstr("something other"));
  EXPECT_THAT(refusal("x" + good), HasSubstr("something other"));
  EXPECT_THAT(refusal(""), HasSubstr("no certificate"));
  EXPECT_THAT(refusal(good.substr(0, good.size() / 4)), HasSubstr("does not end"));
  EXPECT_THAT(refusal(std::string(kMaxPemBytes + 1, ' ')), HasSubstr("at most 65536"));

  auto with_header = good;
  with_header.insert(good.find('\n') + 1, "Proc-Type: 4,ENCRYPTED\n\n");
  EXPECT_THAT(refusal(with_header), HasSubstr("no base 64"));
  auto key_block = good;
  key_block.replace(11, 11, "PRIVATE KEY");
  EXPECT_THAT(refusal(key_block), HasSubstr("something other"));
}

TEST_F(CertificateVectorsTest, WritesThePemItReads) {
  const auto authorities = pem("roots/amd/milan-ask-ark.pem");
  EXPECT_EQ(decode_pem_certificates(authorities[0].pem() + authorities[1].pem(), 2), authorities);
}

// Of its signature the last two bits count for nothing, and OpenSSL would write them as zeros.
TEST_F(CertificateVectorsTest, WritesTheVeryBytesThatCame) {
  auto encoding = base::copy_of(der("snp/milan-v2-clean.vcek.der").der());
  constexpr std::size_t kSignatureBytes = 512;
  auto& unused_bits = encoding.at(encoding.size() - kSignatureBytes - 1);
  ASSERT_EQ(unused_bits, std::byte{0});
  unused_bits = std::byte{2};
  encoding.back() = std::byte{0xff};

  const auto odd = Certificate::decode(encoding);

  ASSERT_TRUE(odd) << odd.error().message;
  const auto again = decode_pem_certificates(odd->pem(), 1);
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(again->front().der(), encoding);
}

TEST_F(CertificateVectorsTest, PathsAreJudgedByWhatIsWrongWithThem) {
  const auto vcek = der("snp/milan-v2-clean.vcek.der");
  const auto milan = pem("roots/amd/milan-ask-ark.pem");
  const auto genoa = pem("roots/amd/genoa-ask-ark.pem");
  const auto now = at("2026-11-21T00:00:00Z");
  const auto judge = [&](const Certificate& leaf, const Certificate& middle,
                         const Certificate& root, Time time) {
    return verify_path(leaf, std::span(&middle, 1), root, time);
  };

  EXPECT_TRUE(judge(vcek, milan[0], milan[1], now).good());
  EXPECT_EQ(judge(vcek, genoa[0], genoa[1], now).path, PathFault::kIssuer);
  EXPECT_EQ(judge(vcek, milan[0], genoa[1], now).path, PathFault::kIssuer);
  EXPECT_EQ(judge(vcek, milan[1], milan[0], now).path, PathFault::kIssuer);
  EXPECT_EQ(judge(vcek, milan[1], milan[1], now).path, PathFault::kIssuer);
  EXPECT_EQ(judge(der("snp/neg-vcek-edited-hwid.der"), milan[0], milan[1], now).path,
            PathFault::kSignature);
}

// A path that has expired may be right in everything else; both are said.
TEST_F(CertificateVectorsTest, PathsOutsideTheirTimeKeepTheirOtherVerdict) {
  const auto vlek = der("snp/milan-v3-vlek.vlek.der");
  const auto milan = pem("roots/amd/milan-asvk-ark.pem");
  const auto judge = [&](const char* time) {
    return verify_path(vlek, std::span(milan.data(), 1), milan[1], at(time));
  };

  EXPECT_TRUE(judge("2025-06-15T00:00:00Z").good());
  EXPECT_EQ(judge("2026-11-21T00:00:00Z").path, PathFault::kNone);
  EXPECT_EQ(judge("2026-11-21T00:00:00Z").time, TimeFault::kExpired);
  EXPECT_EQ(judge("2024-12-10T22:14:20Z").time, TimeFault::kNotYetValid);
  EXPECT_TRUE(judge("2024-12-10T22:14:21Z").good());

  auto validity = validity_of(std::vector{vlek, milan[0], milan[1]});
  EXPECT_EQ(to_text(validity.from), "2024-12-10T22:14:21Z");
  EXPECT_EQ(to_text(validity.until), "2025-12-10T22:14:21Z");
  EXPECT_TRUE(validity.contains(at("2025-06-15T00:00:00Z")));
  EXPECT_FALSE(validity.contains(at("2025-12-10T22:14:22Z")));
}

// An intermediate ends a path only where the caller says that it may.
TEST_F(CertificateVectorsTest, PathsEndInARootUnlessAnAuthorityWillDo) {
  const auto vlek = der("snp/milan-v3-vlek.vlek.der");
  const auto asvk = pem("roots/amd/milan-asvk-ark.pem")[0];
  const auto now = at("2025-06-15T00:00:00Z");
  EXPECT_NE(verify_path(vlek, {}, asvk, now).path, PathFault::kNone);
  EXPECT_TRUE(verify_path(vlek, {}, asvk, now, Anchor::kAuthority).good());
  EXPECT_NE(verify_path(asvk, {}, vlek, now, Anchor::kAuthority).path, PathFault::kNone);
}

TEST_F(CertificateVectorsTest, ReadsRevocationLists) {
  const auto crl = *Crl::decode(read_evidence_vector("crl/amd-genoa.crl.der"));
  const auto genoa = pem("roots/amd/genoa-ask-ark.pem");

  EXPECT_TRUE(crl.verify(*genoa[1].public_key()));
  EXPECT_EQ(error_code(crl.verify(*genoa[0].public_key())), base::ErrorCode::kAuthentication);
  EXPECT_EQ(crl.issuer_der(), genoa[1].subject_der());
  EXPECT_EQ(crl.signature_algorithm(), kPssSha384);
  EXPECT_EQ(to_text(crl.this_update()), "2024-10-23T04:36:24Z");
  EXPECT_EQ(to_text(crl.next_update()), "2025-11-03T01:00:00Z");
  EXPECT_FALSE(crl.revokes(genoa[0]));
  ASSERT_EQ(crl.entries().size(), 1U);
  EXPECT_EQ(base::to_hex(crl.entries()[0].serial), "020001");
  EXPECT_EQ(to_text(crl.entries()[0].revoked), "2022-10-31T12:00:00Z");
}

TEST_F(CertificateVectorsTest, RefusesSpoiledRevocationLists) {
  auto bytes = read_evidence_vector("crl/amd-milan.crl.der");
  const auto milan = pem("roots/amd/milan-ask-ark.pem");
  for (std::size_t size = 0; size < bytes.size(); size += 7) {
    EXPECT_FALSE(Crl::decode(base::ByteView(bytes).first(size))) << size;
  }
  auto longer = bytes;
  longer.push_back(std::byte{0});
  EXPECT_EQ(error_code(Crl::decode(longer)), base::ErrorCode::kCorrupt);

  bytes.back() ^= std::byte{1};
  EXPECT_EQ(error_code(Crl::decode(bytes)->verify(*milan[1].public_key())),
            base::ErrorCode::kAuthentication);
}

}  // namespace
}  // namespace keybroker::crypto
