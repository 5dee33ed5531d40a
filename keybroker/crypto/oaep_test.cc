// SPDX-License-Identifier: Apache-2.0
#include "keybroker/crypto/oaep.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/support/error_code.h"
#include "tests/support/wrapping_vectors.h"

namespace keybroker::crypto {
namespace {

using tests::support::error_code;
namespace vectors = tests::support::wrapping_vectors;

base::Bytes bytes(std::string_view digits) { return *base::from_hex(digits); }

const PrivateKey& rsa() {
  static const auto key = *PrivateKey::from_pkcs8(bytes(vectors::kRsa2048));
  return key;
}

bool opens_to(const base::Result<base::SecretBytes>& opened, std::string_view expected) {
  return opened && std::ranges::equal(opened->expose(), base::bytes_of(expected));
}

TEST(OaepTest, DecryptsWhatAnotherImplementationEncrypted) {
  EXPECT_TRUE(opens_to(decrypt_oaep(rsa(), Hash::kSha1, {}, bytes(vectors::kOaepSha1)), "plain"));
  EXPECT_TRUE(
      opens_to(decrypt_oaep(rsa(), Hash::kSha256, {}, bytes(vectors::kOaepSha256)), "plain"));
  EXPECT_TRUE(
      opens_to(decrypt_oaep(rsa(), Hash::kSha384, {}, bytes(vectors::kOaepSha384)), "plain"));
  EXPECT_TRUE(opens_to(
      decrypt_oaep(rsa(), Hash::kSha256, base::bytes_of("label"), bytes(vectors::kOaepSha256Label)),
      "plain"));
}

TEST(OaepTest, DecryptsWhatItEncrypted) {
  for (const auto hash : {Hash::kSha1, Hash::kSha256, Hash::kSha384, Hash::kSha512}) {
    const auto most = std::string(256 - 2 * hash_bytes(hash) - 2, 'm');
    const auto encrypted =
        encrypt_oaep(rsa().public_key(), hash, base::bytes_of("label"), base::bytes_of(most));
    ASSERT_TRUE(encrypted) << encrypted.error().message;
    EXPECT_TRUE(opens_to(decrypt_oaep(rsa(), hash, base::bytes_of("label"), *encrypted), most));
    EXPECT_EQ(error_code(encrypt_oaep(rsa().public_key(), hash, {}, base::bytes_of(most + "x"))),
              base::ErrorCode::kInvalidArgument);
  }
}

TEST(OaepTest, AnotherHashLabelKeyOrByteDoesNotDecrypt) {
  constexpr auto kAuthentication = base::ErrorCode::kAuthentication;
  auto encrypted = bytes(vectors::kOaepSha256);
  EXPECT_EQ(error_code(decrypt_oaep(rsa(), Hash::kSha1, {}, encrypted)), kAuthentication);
  EXPECT_EQ(error_code(decrypt_oaep(rsa(), Hash::kSha256, base::bytes_of("label"), encrypted)),
            kAuthentication);
  const auto other = *PrivateKey::generate_rsa(2048);
  EXPECT_EQ(error_code(decrypt_oaep(other, Hash::kSha256, {}, encrypted)), kAuthentication);
  encrypted[128] ^= std::byte{1};
  EXPECT_EQ(error_code(decrypt_oaep(rsa(), Hash::kSha256, {}, encrypted)), kAuthentication);
  // Not below the modulus.
  EXPECT_EQ(error_code(decrypt_oaep(rsa(), Hash::kSha256, {}, base::Bytes(256, std::byte{0xFF}))),
            kAuthentication);
}

TEST(OaepTest, RefusesOtherLengthsAndKinds) {
  for (const std::size_t size : {0U, 1U, 255U, 257U, 384U}) {
    EXPECT_EQ(error_code(decrypt_oaep(rsa(), Hash::kSha256, {}, base::Bytes(size))),
              base::ErrorCode::kCorrupt);
  }
  const auto curve = *PrivateKey::generate_ec(Curve::kP384);
  EXPECT_EQ(error_code(decrypt_oaep(curve, Hash::kSha256, {}, base::Bytes(256))),
            base::ErrorCode::kInvalidArgument);
  EXPECT_EQ(error_code(encrypt_oaep(curve.public_key(), Hash::kSha256, {}, base::Bytes(1))),
            base::ErrorCode::kInvalidArgument);
}

}  // namespace
}  // namespace keybroker::crypto
