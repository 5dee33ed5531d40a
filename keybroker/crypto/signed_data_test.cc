// SPDX-License-Identifier: Apache-2.0
#include "keybroker/crypto/signed_data.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/bio.h>
#include <openssl/pkcs7.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#include "keybroker/crypto/openssl.h"
#include "tests/support/error_code.h"

namespace keybroker::crypto {
namespace {

using base::ErrorCode;
using testing::HasSubstr;
using tests::support::error_code;

using Pkcs7 = std::unique_ptr<PKCS7, openssl::Freed<PKCS7_free>>;
using Bio = std::unique_ptr<BIO, openssl::Freed<BIO_free>>;

// A key with a certificate that `issuer`, or it itself, has signed. It expired long ago, as the
// keys of vendors do that still sign updates.
struct Signer {
  explicit Signer(const std::string& name, const Signer* issuer = nullptr)
      : key(EVP_RSA_gen(2048)), certificate(X509_new(), X509_free) {
    auto* x509 = certificate.get();
    X509_set_version(x509, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(x509), 1);
    ASN1_TIME_set_string(X509_getm_notBefore(x509), "20100101000000Z");
    ASN1_TIME_set_string(X509_getm_notAfter(x509), "20110101000000Z");
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x509), "CN", MBSTRING_UTF8,
                               reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1, 0);
    X509_set_issuer_name(
        x509, X509_get_subject_name(issuer == nullptr ? x509 : issuer->certificate.get()));
    X509_set_pubkey(x509, key.get());
    if (issuer == nullptr) {
      X509_EXTENSION* ca =
          X509V3_EXT_conf_nid(nullptr, nullptr, NID_basic_constraints, "critical,CA:TRUE");
      X509_add_ext(x509, ca, -1);
      X509_EXTENSION_free(ca);
    }
    X509_sign(x509, issuer == nullptr ? key.get() : issuer->key.get(), EVP_sha256());
  }

  [[nodiscard]] base::Bytes der() const { return openssl::encoded(i2d_X509, certificate.get()); }

  openssl::Key key;
  std::unique_ptr<X509, decltype(&X509_free)> certificate;
};

const base::Bytes kContent = base::copy_of(base::bytes_of("name, vendor, time and payload"));

Pkcs7 sign(const Signer& signer, base::ByteView content, const EVP_MD* hash = EVP_sha256()) {
  const Bio data(BIO_new_mem_buf(content.data(), static_cast<int>(content.size())));
  const int flags = PKCS7_BINARY | PKCS7_DETACHED | PKCS7_NOATTR;
  Pkcs7 made(PKCS7_sign(nullptr, nullptr, nullptr, data.get(), flags | PKCS7_PARTIAL));
  PKCS7_sign_add_signer(made.get(), signer.certificate.get(), signer.key.get(), hash, flags);
  PKCS7_final(made.get(), data.get(), flags);
  return made;
}

base::Bytes whole(const Pkcs7& made) { return openssl::encoded(i2d_PKCS7, made.get()); }

// As the updates of the UEFI Forum have it: without the ContentInfo around it.
base::Bytes bare(const Pkcs7& made) { return openssl::encoded(i2d_PKCS7_SIGNED, made->d.sign); }

const Signer& authority() {
  static const Signer signer("authority");
  return signer;
}

const Signer& leaf() {
  static const Signer signer("leaf", &authority());
  return signer;
}

TEST(SignedDataTest, TakesASignatureByATrustedCertificateInBothForms) {
  const auto made = sign(leaf(), kContent);

  EXPECT_EQ(*verify_signed_data(whole(made), kContent, {leaf().der()}), "CN=leaf");
  EXPECT_EQ(*verify_signed_data(bare(made), kContent, {leaf().der()}), "CN=leaf");
}

TEST(SignedDataTest, TakesASignerWhoLeadsToATrustedOne) {
  const auto made = sign(leaf(), kContent);

  EXPECT_TRUE(verify_signed_data(bare(made), kContent, {authority().der()}));
}

TEST(SignedDataTest, RefusesASignerWhomNobodyTrusts) {
  const Signer other("other");
  const auto made = sign(leaf(), kContent);

  const auto refused = verify_signed_data(bare(made), kContent, {other.der()});

  ASSERT_EQ(error_code(refused), ErrorCode::kAuthentication);
  EXPECT_THAT(refused.error().message, HasSubstr("CN=leaf"));
  EXPECT_EQ(error_code(verify_signed_data(bare(made), kContent, {})), ErrorCode::kAuthentication);
  EXPECT_EQ(error_code(verify_signed_data(bare(made), kContent, {base::Bytes(9)})),
            ErrorCode::kAuthentication);
}

TEST(SignedDataTest, RefusesOtherContentAndAForgedSignature) {
  const auto made = sign(leaf(), kContent);
  auto other = kContent;
  other[3] ^= std::byte{1};
  auto forged = bare(made);
  forged[forged.size() - 5] ^= std::byte{1};

  EXPECT_EQ(error_code(verify_signed_data(bare(made), other, {leaf().der()})),
            ErrorCode::kAuthentication);
  EXPECT_EQ(error_code(verify_signed_data(forged, kContent, {leaf().der()})),
            ErrorCode::kAuthentication);
}

TEST(SignedDataTest, RefusesSha1) {
  const auto made = sign(leaf(), kContent, EVP_sha1());

  const auto refused = verify_signed_data(bare(made), kContent, {leaf().der()});

  ASSERT_EQ(error_code(refused), ErrorCode::kAuthentication);
  EXPECT_THAT(refused.error().message, HasSubstr("weaker than SHA-256"));
}

TEST(SignedDataTest, RefusesWhatIsNoSignedData) {
  auto longer = bare(sign(leaf(), kContent));
  longer.push_back(std::byte{0});
  const Pkcs7 other(PKCS7_new());
  PKCS7_set_type(other.get(), NID_pkcs7_data);

  for (const auto& bytes :
       {base::Bytes(), base::Bytes(10, std::byte{0x30}), longer, whole(other)}) {
    EXPECT_EQ(error_code(verify_signed_data(bytes, kContent, {leaf().der()})), ErrorCode::kCorrupt);
  }
}

}  // namespace
}  // namespace keybroker::crypto
