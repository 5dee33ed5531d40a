// SPDX-License-Identifier: Apache-2.0
#include "vmgs/crypto/hkdf.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <string>

namespace vmgs::crypto {
namespace {

// `count` bytes that count up from `first`.
base::Bytes counting(unsigned first, std::size_t count) {
  base::Bytes bytes(count);
  for (std::size_t i = 0; i < count; ++i) {
    bytes[i] = static_cast<std::byte>(first + i);
  }
  return bytes;
}

template <typename Hkdf>
std::string derived_hex(Hkdf hkdf, base::ByteView secret, base::ByteView salt, base::ByteView info,
                        std::size_t size) {
  base::Bytes out(size);
  const auto done = hkdf(secret, salt, info, out);
  return done ? base::to_hex(out) : done.error().message;
}

const base::Bytes kSecret(22, std::byte{0x0B});

// RFC 5869, A.1, A.2, A.3.
TEST(HkdfTest, MatchesTheVectorsOfItsStandard) {
  EXPECT_EQ(derived_hex(hkdf_sha256, kSecret, counting(0, 13), counting(0xF0, 10), 42),
            "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865");
  EXPECT_EQ(derived_hex(hkdf_sha256, counting(0, 80), counting(0x60, 80), counting(0xB0, 80), 82),
            "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41"
            "c65e590e09da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87");
  EXPECT_EQ(derived_hex(hkdf_sha256, kSecret, {}, {}, 42),
            "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8");
}

// The inputs of A.1 and A.3 and the longest info, computed with Python's hmac module.
TEST(HkdfTest, MatchesAnotherImplementationBySha384) {
  EXPECT_EQ(derived_hex(hkdf_sha384, kSecret, counting(0, 13), counting(0xF0, 10), 42),
            "9b5097a86038b805309076a44b3a9f38063e25b516dcbf369f394cfab43685f748b6457763e4f0204fc5");
  EXPECT_EQ(derived_hex(hkdf_sha384, kSecret, {}, {}, 42),
            "c8c96e710f89b0d7990bca68bcdec8cf854062e54c73a7abc743fade9b242daacc1cea5670415b52849c");
  EXPECT_EQ(derived_hex(hkdf_sha384, kSecret, counting(0, 13),
                        base::Bytes(kMostHkdfInfoBytes, std::byte{'i'}), 48),
            "0f8eebd61ac40297145d4fb1747578cdcc720604322c97c8f0f625cfd9a6f3e9eeaba08eb07327fc1a9eab"
            "c90ebfbaf8");
}

TEST(HkdfTest, FillsASecret) {
  const auto by_256 = derive_hkdf_sha256<32>(kSecret, {}, {});
  const auto by_384 = derive_hkdf_sha384<32>(kSecret, {}, {});

  ASSERT_TRUE(by_256 && by_384);
  EXPECT_EQ(base::to_hex(by_256->expose()),
            "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d");
  EXPECT_EQ(base::to_hex(by_384->expose()),
            "c8c96e710f89b0d7990bca68bcdec8cf854062e54c73a7abc743fade9b242daa");
}

TEST(HkdfTest, RefusesSizesThatItsStandardDoesNotAllow) {
  const auto refused = [](base::ByteView secret, std::size_t info, std::size_t size, auto hkdf) {
    base::Bytes out(size);
    const auto done = hkdf(secret, {}, base::Bytes(info), out);
    return !done && done.error().code == base::ErrorCode::kInvalidArgument;
  };

  EXPECT_TRUE(refused({}, 0, 32, hkdf_sha256));
  EXPECT_TRUE(refused(kSecret, 0, 0, hkdf_sha256));
  EXPECT_TRUE(refused(kSecret, kMostHkdfInfoBytes + 1, 32, hkdf_sha256));
  EXPECT_TRUE(refused(kSecret, 0, 255 * 32 + 1, hkdf_sha256));
  EXPECT_TRUE(refused(kSecret, 0, 255 * 48 + 1, hkdf_sha384));
  EXPECT_FALSE(refused(kSecret, 0, 255 * 32, hkdf_sha256));
  EXPECT_FALSE(refused(kSecret, 0, 255 * 48, hkdf_sha384));
}

}  // namespace
}  // namespace vmgs::crypto
