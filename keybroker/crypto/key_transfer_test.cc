// SPDX-License-Identifier: Apache-2.0
#include "keybroker/crypto/key_transfer.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "keybroker/crypto/ecdh.h"
#include "tests/support/error_code.h"
#include "tests/support/wrapping_vectors.h"

namespace keybroker::crypto {
namespace {

using tests::support::error_code;
namespace vectors = tests::support::wrapping_vectors;

constexpr auto kEcdh = TransferAlgorithm::kEcdhP384;
constexpr auto kRsa = TransferAlgorithm::kRsa3072OaepSha384;
constexpr auto kAuthentication = base::ErrorCode::kAuthentication;
constexpr auto kCorrupt = base::ErrorCode::kCorrupt;
constexpr auto kInvalidArgument = base::ErrorCode::kInvalidArgument;

const auto kInfo = base::bytes_of("the claims");
const auto kPlaintext =
    base::bytes_of("sixteen byte keysixteen byte keysixteen byte keysixteen byte key");

base::Bytes bytes(std::string_view digits) { return *base::from_hex(digits); }

PrivateKey private_key(std::string_view digits) { return *PrivateKey::from_pkcs8(bytes(digits)); }

// RSA keys take long to draw.
const TransferKey& rsa_key() {
  static const auto key = *TransferKey::generate(kRsa);
  return key;
}

bool opens(const base::Result<base::SecretBytes>& opened) {
  return opened && std::ranges::equal(opened->expose(), kPlaintext);
}

TEST(KeyTransferTest, OpensWhatAnotherImplementationSealed) {
  const auto ecdh = private_key(vectors::kP384);
  const auto rsa = private_key(vectors::kRsa3072);

  EXPECT_TRUE(opens(open_sealed_to(ecdh, kEcdh, kInfo, bytes(vectors::kTransferEcdh))));
  EXPECT_TRUE(opens(open_sealed_to(rsa, kRsa, kInfo, bytes(vectors::kTransferRsa))));
}

TEST(KeyTransferTest, OpensWhatWasSealedToIt) {
  const auto ecdh = *TransferKey::generate(kEcdh);
  for (const auto* key : {&ecdh, &rsa_key()}) {
    const auto& recipient = key->public_key();
    const auto sealed = seal_to(recipient, key->algorithm(), kInfo, kPlaintext);
    ASSERT_TRUE(sealed) << sealed.error().message;
    EXPECT_EQ(sealed->size(), sealed_transfer_bytes(key->algorithm(), kPlaintext.size()));
    EXPECT_TRUE(opens(key->open(kInfo, *sealed)));
    EXPECT_NE(*sealed, *seal_to(recipient, key->algorithm(), kInfo, kPlaintext));
  }
}

TEST(KeyTransferTest, AKeyIsDrawnForEachAttempt) {
  const auto first = *TransferKey::generate(kEcdh);
  const auto second = *TransferKey::generate(kEcdh);

  EXPECT_FALSE(first.public_key() == second.public_key());
  EXPECT_EQ(rsa_key().public_key().describe(), "RSA-3072");
  EXPECT_EQ(first.public_key().describe(), "ECDSA P-384");
}

TEST(KeyTransferTest, AnotherKeyOrInfoDoesNotOpen) {
  const auto key = *TransferKey::generate(kEcdh);
  const auto other = *TransferKey::generate(kEcdh);
  const auto sealed = *seal_to(key.public_key(), kEcdh, kInfo, kPlaintext);
  EXPECT_EQ(error_code(other.open(kInfo, sealed)), kAuthentication);
  EXPECT_EQ(error_code(key.open(base::bytes_of("the claim"), sealed)), kAuthentication);
  EXPECT_EQ(error_code(key.open({}, sealed)), kAuthentication);

  const auto by_rsa = *seal_to(rsa_key().public_key(), kRsa, kInfo, kPlaintext);
  const auto another_rsa = private_key(vectors::kRsa3072);
  EXPECT_EQ(error_code(open_sealed_to(another_rsa, kRsa, kInfo, by_rsa)), kAuthentication);
  EXPECT_EQ(error_code(rsa_key().open(base::bytes_of("the claim"), by_rsa)), kAuthentication);
}

TEST(KeyTransferTest, EveryAlteredByteIsFound) {
  const auto key = *TransferKey::generate(kEcdh);
  auto sealed = *seal_to(key.public_key(), kEcdh, kInfo, kPlaintext);
  for (auto& byte : sealed) {
    byte ^= std::byte{1};
    EXPECT_FALSE(key.open(kInfo, sealed));
    byte ^= std::byte{1};
  }
  auto by_rsa = *seal_to(rsa_key().public_key(), kRsa, kInfo, kPlaintext);
  for (const std::size_t at : {0U, 383U, 384U, 400U, 447U, 448U, 463U}) {
    by_rsa[at] ^= std::byte{1};
    EXPECT_EQ(error_code(rsa_key().open(kInfo, by_rsa)), kAuthentication) << at;
    by_rsa[at] ^= std::byte{1};
  }
}

TEST(KeyTransferTest, LengthsThatSealingNeverGivesAreCorrupt) {
  const auto key = *TransferKey::generate(kEcdh);
  for (const std::size_t size : {std::size_t{0}, std::size_t{96}, std::size_t{97 + 16},
                                 97 + 16 + kMostTransferPlaintextBytes + 1}) {
    EXPECT_EQ(error_code(key.open(kInfo, base::Bytes(size))), kCorrupt) << size;
  }
  for (const std::size_t size : {std::size_t{0}, std::size_t{383}, std::size_t{384 + 16},
                                 384 + 16 + kMostTransferPlaintextBytes + 1}) {
    EXPECT_EQ(error_code(rsa_key().open(kInfo, base::Bytes(size))), kCorrupt) << size;
  }
  // Cut by a byte it is another ciphertext.
  const auto sealed = *seal_to(key.public_key(), kEcdh, kInfo, kPlaintext);
  EXPECT_EQ(error_code(key.open(kInfo, base::ByteView(sealed).first(sealed.size() - 1))),
            kAuthentication);
}

TEST(KeyTransferTest, PointsOffTheCurveAreCorrupt) {
  const auto key = *TransferKey::generate(kEcdh);
  const auto sealed = *seal_to(key.public_key(), kEcdh, kInfo, kPlaintext);
  const auto with_point = [&](auto change) {
    auto bytes = sealed;
    change(std::span(bytes).subspan(0, kP384PointBytes));
    return error_code(key.open(kInfo, bytes));
  };

  EXPECT_EQ(with_point([](auto point) { std::ranges::fill(point, std::byte{0}); }), kCorrupt);
  EXPECT_EQ(with_point([](auto point) { std::ranges::fill(point.subspan(1), std::byte{0}); }),
            kCorrupt);
  EXPECT_EQ(with_point([](auto point) { std::ranges::fill(point.subspan(1), std::byte{0xFF}); }),
            kCorrupt);
  EXPECT_EQ(with_point([](auto point) { point[96] ^= std::byte{1}; }), kCorrupt);
  // Compressed, and hybrid: the same point in another form.
  EXPECT_EQ(with_point([](auto point) { point[0] = std::byte{2}; }), kCorrupt);
  EXPECT_EQ(with_point([](auto point) { point[0] = std::byte{6}; }), kCorrupt);
}

// A SubjectPublicKeyInfo of P-384 whose point is `octets`.
base::Result<PublicKey> spki_with(base::ByteView octets) {
  auto spki = bytes("3000301006072a8648ce3d020106052b81040022030000");
  spki[1] = static_cast<std::byte>(spki.size() - 2 + octets.size());
  spki[spki.size() - 2] = static_cast<std::byte>(1 + octets.size());
  spki.insert(spki.end(), octets.begin(), octets.end());
  return PublicKey::from_spki(spki);
}

TEST(KeyTransferTest, NothingIsSealedToARecipientOffTheCurve) {
  const auto refused = [](base::ByteView octets) {
    const auto key = spki_with(octets);
    // OpenSSL may refuse to read it. What it reads must not be sealed to.
    return !key || error_code(seal_to(*key, kEcdh, kInfo, kPlaintext)) == kInvalidArgument;
  };
  auto point = *encode_p384_point(TransferKey::generate(kEcdh)->public_key());
  ASSERT_TRUE(spki_with(point));
  EXPECT_FALSE(refused(point));

  EXPECT_TRUE(refused(bytes("00")));  // infinity
  point[50] ^= std::byte{1};
  EXPECT_TRUE(refused(point));
}

TEST(KeyTransferTest, NothingIsSealedToKeysOfAnotherKind) {
  const auto p256 = *PrivateKey::generate_ec(Curve::kP256);
  const auto p384 = *PrivateKey::generate_ec(Curve::kP384);
  const auto rsa2048 = private_key(vectors::kRsa2048);
  const auto refused = [](const PrivateKey& key, TransferAlgorithm algorithm) {
    return error_code(seal_to(key.public_key(), algorithm, kInfo, kPlaintext)) ==
               kInvalidArgument &&
           error_code(open_sealed_to(key, algorithm, kInfo, base::Bytes(1000))) == kInvalidArgument;
  };

  EXPECT_TRUE(refused(p256, kEcdh));
  EXPECT_TRUE(refused(rsa2048, kEcdh));
  EXPECT_TRUE(refused(private_key(vectors::kRsa3072), kEcdh));
  EXPECT_TRUE(refused(p384, kRsa));
  EXPECT_TRUE(refused(rsa2048, kRsa));
  EXPECT_TRUE(refused(p384, static_cast<TransferAlgorithm>(0)));
  EXPECT_TRUE(refused(p384, static_cast<TransferAlgorithm>(3)));
  // With an exponent of 65539 the modulus is right and the key is not one that we draw.
  auto numbers = *rsa_key().public_key().rsa_numbers();
  numbers.exponent.back() = std::byte{3};
  const auto odd = *PublicKey::rsa(numbers);
  EXPECT_EQ(error_code(seal_to(odd, kRsa, kInfo, kPlaintext)), kInvalidArgument);
}

TEST(KeyTransferTest, SizesAreBounded) {
  const auto key = *TransferKey::generate(kEcdh);
  const auto seal = [&](std::size_t info, std::size_t plaintext) {
    return error_code(seal_to(key.public_key(), kEcdh, base::Bytes(info), base::Bytes(plaintext)));
  };

  EXPECT_EQ(seal(kMostTransferInfoBytes, kMostTransferPlaintextBytes), std::nullopt);
  EXPECT_EQ(seal(kMostTransferInfoBytes + 1, 1), kInvalidArgument);
  EXPECT_EQ(seal(0, 0), kInvalidArgument);
  EXPECT_EQ(seal(0, kMostTransferPlaintextBytes + 1), kInvalidArgument);
  EXPECT_EQ(error_code(key.open(base::Bytes(kMostTransferInfoBytes + 1),
                                *seal_to(key.public_key(), kEcdh, kInfo, kPlaintext))),
            kInvalidArgument);
}

}  // namespace
}  // namespace keybroker::crypto
