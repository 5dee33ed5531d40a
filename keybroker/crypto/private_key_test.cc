// SPDX-License-Identifier: Apache-2.0
#include "keybroker/crypto/private_key.h"

#include <gtest/gtest.h>

#include "tests/support/error_code.h"

namespace keybroker::crypto {
namespace {

using tests::support::error_code;

const auto kMessage = base::bytes_of("what is signed");

constexpr std::string_view kRsa512 =
    "30820156020100300d06092a864886f70d0101010500048201403082013c020100024100c554323491dd34737f46"
    "09a2ae70a6d23d505ddf5d8def7566e0a89e6def384ee3e25ffbd3684ec13b3c3984a69124ddfb9f07a13e6346a5"
    "014930f6f9f490e5020301000102410087cccfd859e1efece45420e1724758a72b4719b354c10f60ae7241d8f633"
    "417de3fc71b15841aa763a9fc46c69ff6c0262a0ef20232da48dee8932ecd59a4941022100e298bdb5ef86d70aee"
    "069eb32d4bcce3c69bd2dc91a3c64fa306a08d8e3f90dd022100deef37767a2a2c645282c520558062b7ae331158"
    "02e37d22759db95eaad73ba902210094686b5ffc67f8f1cca1835160ea53601f55314e8b0893bad6d06159350046"
    "f5022100964e3edcb87d1ab501147e07d0dde0b0ead82f87615b33913a2f7f3d9e7dc311022023f04942996ddd6b"
    "4e96ccb1ac868dc3acdb98f52473f1e3b29f9d1cb5414066";

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

TEST(PrivateKeyTest, ComesBackFromPkcs8) {
  for (const auto& key :
       {*PrivateKey::generate_ec(Curve::kP256), *PrivateKey::generate_ec(Curve::kP384),
        *PrivateKey::generate_rsa(2048)}) {
    const auto der = key.to_pkcs8();
    ASSERT_TRUE(der) << der.error().message;
    const auto read = PrivateKey::from_pkcs8(der->expose());
    ASSERT_TRUE(read) << read.error().message;
    EXPECT_EQ(base::to_hex(read->to_pkcs8()->expose()), base::to_hex(der->expose()));
  }
}

TEST(PrivateKeyTest, RefusesWhatIsNoWholePkcs8) {
  const auto der = *(*PrivateKey::generate_ec(Curve::kP384)).to_pkcs8();
  auto longer = base::copy_of(der.expose());
  longer.push_back(std::byte{0});

  EXPECT_EQ(error_code(PrivateKey::from_pkcs8({})), base::ErrorCode::kCorrupt);
  EXPECT_EQ(error_code(PrivateKey::from_pkcs8(longer)), base::ErrorCode::kCorrupt);
  EXPECT_EQ(error_code(PrivateKey::from_pkcs8(der.expose().first(der.size() - 1))),
            base::ErrorCode::kCorrupt);
  // RSA of 512 bits, made with `openssl genpkey`.
  EXPECT_EQ(error_code(PrivateKey::from_pkcs8(*base::from_hex(kRsa512))),
            base::ErrorCode::kCorrupt);
}

}  // namespace
}  // namespace keybroker::crypto
