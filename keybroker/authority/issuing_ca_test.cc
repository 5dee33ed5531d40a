// SPDX-License-Identifier: Apache-2.0
#include "keybroker/authority/issuing_ca.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/error_code.h"

namespace keybroker::authority {
namespace {

using ::testing::HasSubstr;
using tests::support::error_code;

const auto kNow = *crypto::parse_time("2026-01-01T00:00:00Z");

base::SecretBytes secret(std::string_view text) {
  return base::SecretBytes::taking(base::copy_of(base::bytes_of(text)));
}

std::string text_of(const IssuingCa& ca) {
  const auto pem = *encode(ca);
  return {reinterpret_cast<const char*>(pem.expose().data()), pem.size()};
}

const IssuingCa& host_ca() {
  static const auto ca = *make_issuing_ca(AkClass::kHost, kNow);
  return ca;
}

std::string refusal(AkClass ak_class, std::string_view text) {
  const auto ca = decode_issuing_ca(ak_class, secret(text));
  EXPECT_EQ(error_code(ca), base::ErrorCode::kCorrupt);
  return ca ? "accepted" : ca.error().message;
}

TEST(IssuingCaTest, ComesBackAsItWasWritten) {
  for (const auto kind : {CaKey::kP384, CaKey::kRsa3072}) {
    for (const auto ak_class : {AkClass::kCvm, AkClass::kSimulated}) {
      const auto ca = *make_issuing_ca(ak_class, kNow, kind);
      const auto again = decode_issuing_ca(ak_class, *encode(ca));
      ASSERT_TRUE(again) << again.error().message;
      EXPECT_EQ(again->certificate, ca.certificate);
      EXPECT_EQ(again->root, ca.root);
      EXPECT_EQ(again->key.public_key(), ca.key.public_key());
      EXPECT_LE(encode(ca)->size(), kMaxIssuingCaBytes);
    }
  }
}

TEST(IssuingCaTest, SignsWithWhatWasChosen) {
  using Scheme = crypto::SignatureAlgorithm::Scheme;
  EXPECT_EQ(host_ca().certificate.signature_algorithm().scheme, Scheme::kEcdsa);
  EXPECT_EQ(host_ca().key.public_key().describe(), "ECDSA P-384");
  const auto rsa = *make_issuing_ca(AkClass::kHost, kNow, CaKey::kRsa3072);
  EXPECT_EQ(rsa.key.public_key().describe(), "RSA-3072");
  EXPECT_EQ(rsa.root.public_key()->describe(), "RSA-3072");
  EXPECT_EQ(rsa.certificate.signature_algorithm().scheme, Scheme::kRsaPkcs1);
  EXPECT_EQ(rsa.certificate.signature_algorithm().hash, crypto::Hash::kSha384);
}

TEST(IssuingCaTest, IsOfOneClassOnly) {
  EXPECT_THAT(refusal(AkClass::kCvm, text_of(host_ca())), HasSubstr("not that of class cvm"));
  const auto simulated = *make_issuing_ca(AkClass::kSimulated, kNow);
  EXPECT_THAT(refusal(AkClass::kHost, text_of(simulated)), HasSubstr("not that of class host"));
}

TEST(IssuingCaTest, RefusesAKeyOrARootOfAnother) {
  const auto other = *make_issuing_ca(AkClass::kHost, kNow);
  EXPECT_THAT(refusal(AkClass::kHost, text_of({other.key, host_ca().certificate, host_ca().root})),
              HasSubstr("private key is not"));
  EXPECT_THAT(refusal(AkClass::kHost, text_of({host_ca().key, host_ca().certificate, other.root})),
              HasSubstr("not issued by its root"));
  // A root that is none, of the same names.
  EXPECT_THAT(refusal(AkClass::kHost,
                      text_of({host_ca().key, host_ca().certificate, host_ca().certificate})),
              HasSubstr("not that of class host"));
}

TEST(IssuingCaTest, RefusesDamage) {
  const auto whole = text_of(host_ca());
  EXPECT_THAT(refusal(AkClass::kHost, ""), HasSubstr("not a private key"));
  EXPECT_THAT(refusal(AkClass::kHost, host_ca().certificate.pem()), HasSubstr("private key"));
  EXPECT_THAT(refusal(AkClass::kHost, whole.substr(0, whole.size() / 2)), HasSubstr("PEM"));
  const auto root = whole.rfind("-----BEGIN");
  EXPECT_THAT(refusal(AkClass::kHost, whole.substr(0, root)), HasSubstr("missing"));
  auto changed = whole;
  changed[100] = changed[100] == 'A' ? 'B' : 'A';
  refusal(AkClass::kHost, changed);
}

}  // namespace
}  // namespace keybroker::authority
