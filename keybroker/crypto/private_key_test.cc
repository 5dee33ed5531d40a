// SPDX-License-Identifier: Apache-2.0
#include "keybroker/crypto/private_key.h"

#include <gtest/gtest.h>

#include "tests/support/error_code.h"

namespace keybroker::crypto {
namespace {

using tests::support::error_code;

const auto kMessage = base::bytes_of("what is signed");

base::Secret<64> seed_of(base::ByteView low) {
  std::array<std::byte, 64> bytes{};
  std::copy(low.begin(), low.end(), bytes.end() - static_cast<std::ptrdiff_t>(low.size()));
  return base::Secret<64>::copy_of(bytes);
}

std::string point_from(Curve curve, std::string_view seed) {
  const auto key = PrivateKey::from_seed(curve, seed_of(*base::from_hex(seed)));
  const auto point = key->public_key().ec_point();
  return base::to_hex(point->x) + base::to_hex(point->y);
}

// A seed of 0 is the scalar 1 and gives the generator of the curve (SEC 2, 2.4.2 and 2.5.1); a seed
// of 1 gives its double.
TEST(PrivateKeyTest, ASeedIsReducedToAScalarFromOne) {
  EXPECT_EQ(point_from(Curve::kP256, "00"),
            "6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"
            "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5");
  EXPECT_EQ(point_from(Curve::kP256, "01"),
            "7cf27b188d034f7e8a52380304b51ac3c08969e277f21b35a60b48fc47669978"
            "07775510db8ed040293d9ac69f7430dbba7dade63ce982299e04b79d227873d1");
  EXPECT_EQ(
      point_from(Curve::kP384, "00"),
      "aa87ca22be8b05378eb1c71ef320ad746e1d3b628ba79b9859f741e082542a385502f25dbf55296c3a545e38"
      "72760ab73617de4a96262c6f5d9e98bf9292dc29f8f41dbd289a147ce9da3113b5f0b8c00a60b1ce1d7e819d"
      "7a431d7c90ea0e5f");
}

// n - 1 of P-256 is the first seed that wraps around to the generator.
TEST(PrivateKeyTest, ASeedBeyondTheOrderWrapsAround) {
  EXPECT_EQ(
      point_from(Curve::kP256, "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632550"),
      point_from(Curve::kP256, "00"));
}

TEST(PrivateKeyTest, GeneratedKeysDifferAndComeBackFromPem) {
  const auto generate = [](int kind) {
    return kind == 0   ? PrivateKey::generate_ec(Curve::kP256)
           : kind == 1 ? PrivateKey::generate_ec(Curve::kP384)
                       : PrivateKey::generate_rsa(2048);
  };
  for (const int kind : {0, 1, 2}) {
    const auto key = generate(kind);
    ASSERT_TRUE(key) << key.error().message;
    EXPECT_FALSE(generate(kind)->public_key() == key->public_key());

    const auto pem = key->to_pem();
    ASSERT_TRUE(pem);
    const auto again = PrivateKey::from_pem(pem->expose());

    ASSERT_TRUE(again) << again.error().message;
    EXPECT_EQ(again->public_key(), key->public_key());
  }
}

TEST(PrivateKeyTest, RefusesOtherSizesAndBytesThatAreNoKey) {
  EXPECT_EQ(error_code(PrivateKey::generate_rsa(2047)), base::ErrorCode::kInvalidArgument);
  EXPECT_EQ(error_code(PrivateKey::generate_rsa(8193)), base::ErrorCode::kInvalidArgument);
  EXPECT_EQ(error_code(PrivateKey::from_pem(base::bytes_of("x"))), base::ErrorCode::kCorrupt);
  // Ed25519 is a good key, and none of ours.
  EXPECT_EQ(error_code(PrivateKey::from_pem(
                base::bytes_of("-----BEGIN PRIVATE KEY-----\n"
                               "MC4CAQAwBQYDK2VwBCIEIDrmQaXZwjUjgIOcwmb+i8xPY2E63rjd1xZ+1ANth8mK\n"
                               "-----END PRIVATE KEY-----\n"))),
            base::ErrorCode::kCorrupt);
}

TEST(SignTest, SignsWhatVerifies) {
  const auto small = *PrivateKey::generate_ec(Curve::kP256);
  const auto large = *PrivateKey::generate_ec(Curve::kP384);

  // One R in 256 begins with a zero byte; its fixed size must not shift it.
  for (int i = 0; i < 600; ++i) {
    const auto signature = *sign_p256(small, kMessage);
    ASSERT_TRUE(verify_ecdsa(small.public_key(), Hash::kSha256, kMessage, signature.numbers()));
  }
  const auto signature = *sign_p384(large, kMessage);
  EXPECT_TRUE(verify_ecdsa(large.public_key(), Hash::kSha384, kMessage, signature.numbers()));
  EXPECT_FALSE(verify_ecdsa(large.public_key(), Hash::kSha384, base::bytes_of("another"),
                            signature.numbers()));
}

TEST(SignTest, RefusesKeysOfAnotherKind) {
  const auto small = *PrivateKey::generate_ec(Curve::kP256);
  const auto rsa = *PrivateKey::generate_rsa(2048);

  EXPECT_EQ(error_code(sign_p384(small, kMessage)), base::ErrorCode::kInvalidArgument);
  EXPECT_EQ(error_code(sign_p256(rsa, kMessage)), base::ErrorCode::kInvalidArgument);
}

}  // namespace
}  // namespace keybroker::crypto
