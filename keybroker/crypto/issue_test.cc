// SPDX-License-Identifier: Apache-2.0
#include "keybroker/crypto/issue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/x509v3.h>

#include "keybroker/crypto/chain.h"
#include "keybroker/crypto/der.h"
#include "keybroker/crypto/openssl.h"
#include "tests/support/error_code.h"

namespace keybroker::crypto {
namespace {

using ::testing::HasSubstr;
using tests::support::error_code;

const Time kNow = *parse_time("2026-01-01T12:00:00Z");

const PrivateKey& rsa() {
  static const auto key = *PrivateKey::generate_rsa(4096);
  return key;
}

const PrivateKey& p256() {
  static const auto key = *PrivateKey::generate_ec(Curve::kP256);
  return key;
}

CertificateSpec root_spec() {
  return {.serial = {std::byte{1}, std::byte{0}, std::byte{0}},
          .subject = {{"OU", "Engineering"}, {"C", "US"}, {"CN", "Root"}},
          .issuer = {{"OU", "Engineering"}, {"C", "US"}, {"CN", "Root"}},
          .not_before = *parse_time("2026-01-01T00:00:00Z"),
          .not_after = *parse_time("2026-01-02T00:00:00Z"),
          .authority = AuthorityConstraints{.path_length = 1, .signs_lists = true},
          .key_identifiers = true,
          .crl_url = "https://crl.invalid/root"};
}

CertificateSpec leaf_spec() {
  auto spec = root_spec();
  spec.serial = {std::byte{0}};
  spec.subject = {{"CN", "Leaf"}};
  spec.authority.reset();
  spec.key_identifiers = false;
  spec.crl_url.clear();
  spec.extensions = {{"1.3.6.1.4.1.3704.1.3.8", false, encode_der_integer(219)},
                     {"1.2.3.4", true, base::Bytes(64, std::byte{7})}};
  return spec;
}

// OpenSSL's own reading of a certificate, as text.
std::string text_of(const Certificate& certificate) {
  const std::unique_ptr<BIO, openssl::Freed<BIO_free>> bio(BIO_new(BIO_s_mem()));
  X509_print_ex(bio.get(), certificate.handle(), XN_FLAG_RFC2253, 0);
  char* text = nullptr;
  const auto size = static_cast<std::size_t>(BIO_get_mem_data(bio.get(), &text));
  return {text, size};
}

TEST(IssueTest, ARootSaysWhatItWasToldToSay) {
  const auto root = issue(root_spec(), p256().public_key(), p256());

  ASSERT_TRUE(root) << root.error().message;
  const auto text = text_of(*root);
  EXPECT_THAT(text, HasSubstr("Serial Number: 65536 (0x10000)"));
  EXPECT_THAT(text, HasSubstr("Subject: CN=Root,C=US,OU=Engineering"));
  EXPECT_THAT(text, HasSubstr("Not Before: Jan  1 00:00:00 2026 GMT"));
  EXPECT_THAT(text, HasSubstr("Not After : Jan  2 00:00:00 2026 GMT"));
  EXPECT_THAT(text, HasSubstr("X509v3 Basic Constraints: critical\n                CA:TRUE, "
                              "pathlen:1"));
  EXPECT_THAT(text, HasSubstr("X509v3 Key Usage: critical\n                Certificate Sign, CRL "
                              "Sign"));
  EXPECT_THAT(text, HasSubstr("URI:https://crl.invalid/root"));
  EXPECT_EQ(root->signature_algorithm(), kEcdsaSha256);
  EXPECT_EQ(root->public_key(), p256().public_key());
  EXPECT_TRUE(verify_issued(*root, p256().public_key()));

  // Both identifiers of a root name the same key.
  const auto* own = X509_get0_subject_key_id(root->handle());
  const auto* authority = X509_get0_authority_key_id(root->handle());
  ASSERT_TRUE(own != nullptr && authority != nullptr);
  EXPECT_EQ(ASN1_OCTET_STRING_cmp(own, authority), 0);
}

TEST(IssueTest, ALeafHasOnlyTheExtensionsItWasGiven) {
  const auto leaf = issue(leaf_spec(), p256().public_key(), p256());

  ASSERT_TRUE(leaf) << leaf.error().message;
  EXPECT_EQ(X509_get_ext_count(leaf->handle()), 2);
  EXPECT_EQ(base::to_hex(leaf->extension("1.3.6.1.4.1.3704.1.3.8")->value()), "020200db");
  EXPECT_EQ(leaf->extension("1.2.3.4")->value(), base::Bytes(64, std::byte{7}));
  EXPECT_EQ(X509_EXTENSION_get_critical(X509_get_ext(leaf->handle(), 0)), 0);
  EXPECT_EQ(X509_EXTENSION_get_critical(X509_get_ext(leaf->handle(), 1)), 1);
  EXPECT_THAT(text_of(*leaf), HasSubstr("Serial Number: 0 (0x0)"));
}

TEST(IssueTest, AnEndEntityMaySignButNotCertify) {
  auto spec = leaf_spec();
  spec.end_entity = true;

  const auto leaf = issue(spec, p256().public_key(), p256());

  EXPECT_THAT(text_of(*leaf), HasSubstr("CA:FALSE"));
  EXPECT_THAT(text_of(*leaf), HasSubstr("Digital Signature, Non Repudiation"));
}

TEST(IssueTest, RsaSignsAsAmdDoes) {
  const auto root = issue(root_spec(), rsa().public_key(), rsa());

  ASSERT_TRUE(root) << root.error().message;
  EXPECT_EQ(root->signature_algorithm(), kPssSha384);
  EXPECT_THAT(text_of(*root), HasSubstr("Public Key Algorithm: rsaEncryption"));
  EXPECT_TRUE(verify_issued(*root, rsa().public_key()));
  EXPECT_EQ(error_code(verify_issued(*root, p256().public_key())),
            base::ErrorCode::kAuthentication);
}

TEST(IssueTest, CountryIsPrintableAndTheRestUtf8) {
  const auto root = issue(root_spec(), p256().public_key(), p256());

  const auto* name = X509_get_subject_name(root->handle());
  const auto type = [&](int index) {
    return ASN1_STRING_type(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, index)));
  };
  EXPECT_EQ(type(0), V_ASN1_UTF8STRING);
  EXPECT_EQ(type(1), V_ASN1_PRINTABLESTRING);
  EXPECT_EQ(type(2), V_ASN1_UTF8STRING);
}

TEST(IssueTest, APathOfIssuedCertificatesIsOne) {
  const auto root = *issue(root_spec(), rsa().public_key(), rsa());
  auto spec = leaf_spec();
  spec.extensions.clear();
  const auto leaf = *issue(spec, p256().public_key(), rsa());

  EXPECT_TRUE(verify_path(leaf, {}, root, kNow).good());
}

TEST(IssueTest, RefusesWhatCannotBeWritten) {
  const auto refused = [](const CertificateSpec& spec) {
    return error_code(issue(spec, p256().public_key(), p256())) ==
           base::ErrorCode::kInvalidArgument;
  };
  auto spec = root_spec();
  spec.serial = base::Bytes(21, std::byte{1});
  EXPECT_TRUE(refused(spec));
  spec = root_spec();
  spec.subject = {{"NOSUCH", "x"}};
  EXPECT_TRUE(refused(spec));
  spec = root_spec();
  spec.extensions = {{"not an oid", false, {}}};
  EXPECT_TRUE(refused(spec));
}

TEST(IssueCrlTest, ListsExactlyTheSerialsItWasGiven) {
  for (const auto* key : {&p256(), &rsa()}) {
    auto spec = leaf_spec();
    spec.serial = {std::byte{0x77}};
    const auto leaf = *issue(spec, p256().public_key(), *key);
    CrlSpec list{.issuer = root_spec().subject,
                 .this_update = root_spec().not_before,
                 .next_update = root_spec().not_after,
                 .number = 6};

    const auto empty = issue_crl(list, *key);
    ASSERT_TRUE(empty) << empty.error().message;
    EXPECT_FALSE(empty->revokes(leaf));
    EXPECT_EQ(empty->issuer_der(), leaf.issuer_der());
    EXPECT_EQ(empty->this_update(), list.this_update);
    EXPECT_EQ(empty->next_update(), list.next_update);
    EXPECT_EQ(empty->signature_algorithm(), key == &rsa() ? kPssSha384 : kEcdsaSha256);
    EXPECT_TRUE(empty->verify(key->public_key()));

    list.revoked = {{{std::byte{0x76}}, kNow}};
    EXPECT_FALSE(issue_crl(list, *key)->revokes(leaf));
    list.revoked.push_back({{std::byte{0x77}}, kNow});
    EXPECT_TRUE(issue_crl(list, *key)->revokes(leaf));
    EXPECT_EQ(issue_crl(list, *key)->entries().size(), 2U);
  }
}

TEST(IssueCrlTest, IsNotBelievedFromAnotherKey) {
  const auto list = *issue_crl({.issuer = root_spec().subject,
                                .this_update = root_spec().not_before,
                                .next_update = root_spec().not_after},
                               p256());

  const auto other = *PrivateKey::generate_ec(Curve::kP256);
  EXPECT_EQ(error_code(list.verify(other.public_key())), base::ErrorCode::kAuthentication);
}

}  // namespace
}  // namespace keybroker::crypto
