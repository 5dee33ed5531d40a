// SPDX-License-Identifier: Apache-2.0
#include "vmgs/crypto/aead.h"

#include <gtest/gtest.h>

#include "vmgs/crypto/random.h"

namespace vmgs::crypto {
namespace {

AeadKey key_of(std::string_view hex) {
  const auto bytes = base::from_hex(hex);
  return AeadKey::copy_of(std::span(*bytes).first<32>());
}

TEST(AeadTest, MatchesThePublishedVector) {
  // The GCM specification (McGrew, Viega), test case 14: zero key, zero nonce, one zero block.
  const auto key = key_of(std::string(64, '0'));
  base::Bytes block(16);

  const auto tag = seal(key, AeadNonce{}, {}, block, block);

  ASSERT_TRUE(tag);
  EXPECT_EQ(base::to_hex(block), "cea7403d4d606b6e074ec5d3baf39d18");
  EXPECT_EQ(base::to_hex(*tag), "d0d1c8a799996bf0265b98b5d48ab919");
}

TEST(AeadTest, OpensWhatItSealed) {
  const auto key = *random_secret<32>();
  const auto text = base::copy_of(base::bytes_of("guest state"));
  base::Bytes sealed(text.size());
  const auto tag = *seal(key, AeadNonce{}, base::bytes_of("header"), text, sealed);

  base::Bytes opened(text.size());
  ASSERT_TRUE(open(key, AeadNonce{}, base::bytes_of("header"), tag, sealed, opened));

  EXPECT_EQ(opened, text);
}

TEST(AeadTest, SealsNothingToATagThatOpens) {
  const auto key = *random_secret<32>();

  const auto tag = *seal(key, AeadNonce{}, {}, {}, {});

  EXPECT_TRUE(open(key, AeadNonce{}, {}, tag, {}, {}));
}

TEST(AeadTest, GivesNoPlaintextWhenAnythingWasChanged) {
  const auto key = *random_secret<32>();
  const auto text = base::copy_of(base::bytes_of("guest state"));
  base::Bytes sealed(text.size());
  auto tag = *seal(key, AeadNonce{}, base::bytes_of("a"), text, sealed);
  base::Bytes opened(text.size(), std::byte{0x55});

  const auto other_context = open(key, AeadNonce{}, base::bytes_of("b"), tag, sealed, opened);
  ASSERT_FALSE(other_context);
  EXPECT_EQ(other_context.error().code, base::ErrorCode::kAuthentication);
  EXPECT_TRUE(base::is_all_zero(opened));

  tag[0] ^= std::byte{1};
  EXPECT_FALSE(open(key, AeadNonce{}, base::bytes_of("a"), tag, sealed, opened));
}

TEST(AeadTest, RefusesBuffersOfDifferentSize) {
  const auto key = *random_secret<32>();
  base::Bytes small(1);

  const auto tag = seal(key, AeadNonce{}, {}, base::bytes_of("longer"), small);

  ASSERT_FALSE(tag);
  EXPECT_EQ(tag.error().code, base::ErrorCode::kInvalidArgument);
}

}  // namespace
}  // namespace vmgs::crypto
