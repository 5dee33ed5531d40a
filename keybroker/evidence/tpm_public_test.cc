// SPDX-License-Identifier: Apache-2.0
#include "keybroker/evidence/tpm_public.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "keybroker/crypto/private_key.h"
#include "keybroker/evidence/hcl_report.h"
#include "keybroker/protocol/runtime_claims.h"
#include "tests/support/error_code.h"
#include "tests/support/evidence_vectors.h"
#include "vmgs/base/cursor.h"
#include "vmgs/crypto/digest.h"

namespace keybroker::evidence {
namespace {

constexpr std::uint32_t kAkAttributes = 0x00050472;
constexpr std::uint16_t kTpmEcc = 0x0023;
constexpr std::uint16_t kTpmRsa = 0x0001;
constexpr std::uint16_t kTpmNull = 0x0010;

const crypto::PublicKey& rsa_key() {
  static const auto key = crypto::PrivateKey::generate_rsa(2048)->public_key();
  return key;
}

// A TPMT_PUBLIC as Part 2, 12.2.4 writes it. Each test spoils one thing about it.
struct Area {
  std::uint16_t type = kTpmRsa;
  std::uint16_t name_algorithm = 0x000B;
  std::uint32_t attributes = kAkAttributes;
  std::uint16_t scheme = kTpmRsaSsa;
  std::uint32_t exponent = 0;
  base::Bytes modulus = rsa_key().rsa_numbers()->modulus;

  [[nodiscard]] base::Bytes bytes() const {
    base::Writer out;
    out.u16_be(type);
    out.u16_be(name_algorithm);
    out.u32_be(attributes);
    out.u16_be(0);
    out.u16_be(kTpmNull);
    out.u16_be(scheme);
    if (scheme != kTpmNull) {
      out.u16_be(0x000B);
    }
    out.u16_be(static_cast<std::uint16_t>(modulus.size() * 8));
    out.u32_be(exponent);
    out.u16_be(static_cast<std::uint16_t>(modulus.size()));
    out.bytes(modulus);
    return std::move(out).take();
  }
};

base::Bytes ecc_area(const crypto::PublicKey& key, std::size_t leading_zeros_left_out) {
  const auto point = key.ec_point();
  base::Writer out;
  out.u16_be(kTpmEcc);
  out.u16_be(0x000B);
  out.u32_be(kAkAttributes);
  out.u16_be(0);
  out.u16_be(kTpmNull);
  out.u16_be(kTpmEcdsa);
  out.u16_be(0x000B);
  out.u16_be(0x0003);  // P-256
  out.u16_be(kTpmNull);
  for (const auto& number : {point->x, point->y}) {
    const auto sent = base::ByteView(number).subspan(leading_zeros_left_out);
    out.u16_be(static_cast<std::uint16_t>(sent.size()));
    out.bytes(sent);
  }
  return std::move(out).take();
}

bool is_refused(const base::Bytes& bytes) {
  return tests::support::error_code(decode_tpm_public(bytes)) == base::ErrorCode::kCorrupt;
}

TEST(TpmPublicTest, ReadsAnRsaKey) {
  const auto area = decode_tpm_public(Area().bytes());
  ASSERT_TRUE(area) << area.error().message;
  EXPECT_EQ(area->key, rsa_key());
  EXPECT_EQ(area->scheme, (TpmScheme{kTpmRsaSsa, 0x000B}));
  EXPECT_TRUE(area->can_attest());
  base::Bytes name = *base::from_hex("000b");
  const auto digest = vmgs::crypto::sha256(Area().bytes());
  name.insert(name.end(), digest.begin(), digest.end());
  EXPECT_EQ(area->name, name);
}

TEST(TpmPublicTest, ReadsAnEccKey) {
  const auto key = crypto::PrivateKey::generate_ec(crypto::Curve::kP256)->public_key();
  const auto area = decode_tpm_public(ecc_area(key, 0));
  ASSERT_TRUE(area) << area.error().message;
  EXPECT_EQ(area->key, key);
  EXPECT_EQ(area->scheme, (TpmScheme{kTpmEcdsa, 0x000B}));
  EXPECT_TRUE(area->can_attest());
  // With a byte of each number left out the point is not on the curve.
  EXPECT_TRUE(is_refused(ecc_area(key, 1)));
}

TEST(TpmPublicTest, TellsKeysThatCouldSignAForgery) {
  for (const auto bit :
       {kTpmFixedTpm, kTpmFixedParent, kTpmSensitiveDataOrigin, kTpmRestricted, kTpmSign}) {
    Area area;
    area.attributes &= ~bit;
    EXPECT_FALSE(decode_tpm_public(area.bytes())->can_attest()) << bit;
  }
  Area area;
  area.attributes |= kTpmDecrypt;
  EXPECT_FALSE(decode_tpm_public(area.bytes())->can_attest());
}

TEST(TpmPublicTest, RefusesWeakKeysAndOtherForms) {
  Area area;
  area.modulus.resize(128);
  EXPECT_TRUE(is_refused(area.bytes()));
  area = {};
  area.exponent = 3;
  EXPECT_TRUE(is_refused(area.bytes()));
  area = {};
  area.name_algorithm = 0x0004;  // SHA-1
  EXPECT_TRUE(is_refused(area.bytes()));
  area.name_algorithm = kTpmNull;
  EXPECT_TRUE(is_refused(area.bytes()));
  auto bytes = Area().bytes();
  bytes.push_back(std::byte{0});
  EXPECT_TRUE(is_refused(bytes));
}

// V7.
TEST(TpmPublicTest, RefusesEveryCut) {
  const auto bytes = Area().bytes();
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_FALSE(decode_tpm_public(base::ByteView(bytes).first(size))) << size;
  }
}

TEST(TemplateAkNameTest, IsThatOfTheWholePublicArea) {
  EXPECT_EQ(*template_ak_name(*rsa_key().rsa_numbers()), decode_tpm_public(Area().bytes())->name);
  auto numbers = *rsa_key().rsa_numbers();
  numbers.exponent = *base::from_hex("0100000001");
  EXPECT_FALSE(template_ak_name(numbers));
  EXPECT_TRUE(endorsement_qualified_name({}).empty());
}

using TpmPublicVectorsTest = tests::support::EvidenceVectors;

// A captured quote carries the qualified name that Azure's template leads to.
TEST_F(TpmPublicVectorsTest, TemplateLeadsToTheSignerOfACapturedQuote) {
  const auto hcl =
      *decode_hcl_report(tests::support::read_evidence_vector("azure/snp-milan-v2.hcl-report.bin"));
  const auto claims = *protocol::decode_runtime_claims(hcl.claims);
  const auto* ak = claims.key(protocol::kAkKeyId);
  ASSERT_NE(ak, nullptr);
  const auto text = tests::support::read_evidence_vector("azure/snp-milan-v2.tpm-quote.json");
  const auto quote = boost::json::parse({reinterpret_cast<const char*>(text.data()), text.size()});
  const auto attest = *base::from_hex(quote.at("message").as_string());

  base::Reader in(attest);
  ASSERT_TRUE(in.bytes(6));
  const auto size = *in.u16_be();
  const auto signer = *in.bytes(size);

  EXPECT_EQ(endorsement_qualified_name(*template_ak_name({ak->modulus, ak->exponent})),
            base::copy_of(signer));
}

}  // namespace
}  // namespace keybroker::evidence
