// SPDX-License-Identifier: Apache-2.0
#include "vmgs/crypto/kdf.h"

#include <gtest/gtest.h>

namespace vmgs::crypto {
namespace {

std::string derived_hex(std::string_view key, std::string_view label, std::string_view context) {
  const auto key_bytes = *base::from_hex(key);
  const auto context_bytes = *base::from_hex(context);
  const auto out = derive<32>(key_bytes, base::bytes_of(label), context_bytes);
  return out ? base::to_hex(out->expose()) : out.error().message;
}

// The first two are test vectors of OpenVMM for its VMGS root key, the third was computed with
// `openssl kdf`.
TEST(KdfTest, MatchesTheKnownRootKeys) {
  const std::string zero(64, '0');
  EXPECT_EQ(derived_hex(zero, "VMGSKEY",
                        "2884186cfed2504110698b45d4807288df674c4826197a986988af960562f57f"),
            "9db58bb70ca6cb6faae38174642176fa0ded28673076908383a01ad72ec3e23b");
  EXPECT_EQ(derived_hex(zero, "VMGSKEY",
                        "d68a8d527c5ca59b195ae7456c3fef4d0eb0be16c78d77bd285aa1453e24eb3f"),
            "0ada5491d60992872fd71a157124823625b4b954c2f4eb470288427b1f8edf3d");
  EXPECT_EQ(derived_hex("0101010101010101010101010101010101010101010101010101010101010101",
                        "VMGSKEY", "33221100554477668899aabbccddeeff"),
            "1ebbf2f1508f9b1a2ac344d566d0c703a205beeffe45e3c685912beefb13673d");
}

TEST(KdfTest, RefusesAnEmptyKey) {
  const auto out = derive<32>({}, base::bytes_of("label"), {});

  ASSERT_FALSE(out);
  EXPECT_EQ(out.error().code, base::ErrorCode::kInvalidArgument);
}

}  // namespace
}  // namespace vmgs::crypto
