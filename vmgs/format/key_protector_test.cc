// SPDX-License-Identifier: Apache-2.0
#include "vmgs/format/key_protector.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vmgs::format {
namespace {

using ::testing::HasSubstr;

constexpr auto kRsa = DekWrapping::kRsa;
constexpr auto kAes = DekWrapping::kAesKeyWrap;

KeyProtector valid() {
  KeyProtector protector;
  protector.dek[0].fill(std::byte{0xD0});
  protector.dek[1].fill(std::byte{0xD1});
  protector.gsp[0] = {.length = 0, .buffer = {}};
  protector.gsp[1] = {.length = 512, .buffer = {}};
  protector.gsp[1].buffer.fill(std::byte{0x61});
  protector.active = 0x01020305;
  return protector;
}

std::string refusal(base::ByteView bytes, DekWrapping wrapping) {
  const auto decoded = decode_key_protector(bytes, wrapping);
  if (decoded || decoded.error().code != base::ErrorCode::kCorrupt) {
    return "not refused";
  }
  return decoded.error().message;
}

// The offsets of OpenVMM's structure, one by one.
TEST(KeyProtectorTest, EveryFieldHasItsPlace) {
  const auto bytes = encode(valid());

  ASSERT_EQ(bytes.size(), 0x80CU);
  EXPECT_EQ(bytes[0], std::byte{0xD0});
  EXPECT_EQ(bytes[0x1FF], std::byte{0xD0});
  EXPECT_EQ(bytes[0x200], std::byte{0xD1});
  EXPECT_EQ(base::to_hex(base::ByteView(bytes).subspan(0x400, 4)), "00000000");
  EXPECT_EQ(base::to_hex(base::ByteView(bytes).subspan(0x604, 5)), "0002000061");
  EXPECT_EQ(base::to_hex(base::ByteView(bytes).subspan(0x807)), "6105030201");
  EXPECT_EQ(*decode_key_protector(bytes, kRsa), valid());
}

TEST(KeyProtectorTest, TheActiveIndexTellsTheSlots) {
  KeyProtector protector;
  EXPECT_EQ(protector.ingress(), 0U);
  EXPECT_EQ(protector.egress(), 1U);
  protector.active = 0xFFFFFFFF;
  EXPECT_EQ(protector.ingress(), 1U);
  EXPECT_EQ(protector.egress(), 0U);
  EXPECT_FALSE(protector.has_dek(1));
  protector.dek[1][511] = std::byte{1};
  EXPECT_TRUE(protector.has_dek(1));
  EXPECT_FALSE(protector.has_dek(0));
}

TEST(KeyProtectorTest, AShortFileIsPaddedWithZeros) {
  const auto bytes = encode(valid());
  const auto rsa = decode_key_protector(base::ByteView(bytes).first(256), kRsa);
  const auto aes = decode_key_protector(base::ByteView(bytes).first(40), kAes);

  ASSERT_TRUE(rsa && aes);
  EXPECT_EQ(rsa->dek[0][255], std::byte{0xD0});
  EXPECT_EQ(rsa->dek[0][256], std::byte{0});
  EXPECT_EQ(aes->dek[0][39], std::byte{0xD0});
  EXPECT_EQ(aes->dek[0][40], std::byte{0});
  EXPECT_EQ(aes->active, 0U);
}

TEST(KeyProtectorTest, OtherSizesAreCorrupt) {
  const base::Bytes bytes(2061);
  for (const std::size_t size : {0U, 40U, 255U, 2061U}) {
    EXPECT_THAT(refusal(base::ByteView(bytes).first(size), kRsa),
                HasSubstr("has " + std::to_string(size) + " bytes"));
  }
  for (const std::size_t size : {0U, 39U, 2061U}) {
    EXPECT_THAT(refusal(base::ByteView(bytes).first(size), kAes),
                HasSubstr("has " + std::to_string(size) + " bytes"));
  }
}

TEST(KeyProtectorTest, ASeedLongerThanItsBufferIsCorrupt) {
  for (const std::size_t slot : {0U, 1U}) {
    auto protector = valid();
    protector.gsp[slot].length = 512;
    EXPECT_EQ(refusal(encode(protector), kRsa), "not refused");
    protector.gsp[slot].length = 513;
    EXPECT_THAT(refusal(encode(protector), kRsa),
                HasSubstr("slot " + std::to_string(slot) + " claims 513"));
    protector.gsp[slot].length = 0xFFFFFFFF;
    EXPECT_THAT(refusal(encode(protector), kAes), HasSubstr("claims 4294967295"));
  }
}

}  // namespace
}  // namespace vmgs::format
