// SPDX-License-Identifier: Apache-2.0
#include "keybroker/crypto/private_jwk.h"

#include <gtest/gtest.h>

#include "keybroker/crypto/jwk.h"
#include "keybroker/crypto/openssl.h"
#include "vmgs/crypto/base64.h"

namespace keybroker::crypto {
namespace {

base::Bytes octets(const boost::json::object& jwk, const char* member) {
  return *vmgs::crypto::decode_base64(jwk.at(member).as_string(), vmgs::crypto::Base64::kUrl);
}

openssl::Bignum number(const boost::json::object& jwk, const char* member) {
  const auto bytes = octets(jwk, member);
  return openssl::Bignum(BN_bin2bn(openssl::in(bytes), static_cast<int>(bytes.size()), nullptr));
}

using BignumContext = std::unique_ptr<BN_CTX, openssl::Freed<BN_CTX_free>>;

// a * b mod m, or a * b where there is no m.
openssl::Bignum product(const openssl::Bignum& a, const openssl::Bignum& b,
                        const BIGNUM* m = nullptr) {
  const BignumContext context(BN_CTX_new());
  openssl::Bignum result(BN_new());
  EXPECT_EQ(m == nullptr ? BN_mul(result.get(), a.get(), b.get(), context.get())
                         : BN_mod_mul(result.get(), a.get(), b.get(), m, context.get()),
            1);
  return result;
}

TEST(PrivateJwkTest, NumbersOfAnRsaKeyAreThoseOfRfc8017) {
  const auto jwk = *encode_private_jwk(*PrivateKey::generate_rsa(2048));

  const auto p = number(jwk, "p");
  const auto q = number(jwk, "q");
  EXPECT_EQ(BN_cmp(product(p, q).get(), number(jwk, "n").get()), 0);
  for (const auto& [prime, exponent] : {std::pair("p", "dp"), std::pair("q", "dq")}) {
    const auto less_one = number(jwk, prime);
    ASSERT_EQ(BN_sub_word(less_one.get(), 1), 1);
    EXPECT_TRUE(BN_is_one(product(number(jwk, "e"), number(jwk, "d"), less_one.get()).get()));
    EXPECT_TRUE(BN_is_one(product(number(jwk, "e"), number(jwk, exponent), less_one.get()).get()));
  }
  EXPECT_TRUE(BN_is_one(product(number(jwk, "qi"), q, p.get()).get()));
}

TEST(PrivateJwkTest, AScalarHasTheLengthOfItsFieldAndMakesThePoint) {
  for (const auto curve : {Curve::kP256, Curve::kP384}) {
    // Until one has a scalar that begins with a zero byte, or long enough.
    for (int i = 0; i < 20; ++i) {
      const auto key = *PrivateKey::generate_ec(curve);
      const auto jwk = *encode_private_jwk(key);
      EXPECT_EQ(octets(jwk, "d").size(), curve == Curve::kP256 ? 32U : 48U);
      EXPECT_EQ(*decode_jwk(jwk), key.public_key());
      const std::unique_ptr<EC_GROUP, openssl::Freed<EC_GROUP_free>> group(
          EC_GROUP_new_by_curve_name(curve == Curve::kP256 ? NID_X9_62_prime256v1 : NID_secp384r1));
      const std::unique_ptr<EC_POINT, openssl::Freed<EC_POINT_free>> point(
          EC_POINT_new(group.get()));
      const openssl::Bignum x(BN_new());
      ASSERT_EQ(
          EC_POINT_mul(group.get(), point.get(), number(jwk, "d").get(), nullptr, nullptr, nullptr),
          1);
      ASSERT_EQ(
          EC_POINT_get_affine_coordinates(group.get(), point.get(), x.get(), nullptr, nullptr), 1);
      EXPECT_EQ(BN_cmp(x.get(), number(jwk, "x").get()), 0);
    }
  }
}

}  // namespace
}  // namespace keybroker::crypto
