// SPDX-License-Identifier: Apache-2.0
#include "vmgs/format/hw_key_protector.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vmgs::format {
namespace {

using ::testing::HasSubstr;

// Computed independently in Python for an SNP TCB version of 0x7308000000000003.
constexpr std::string_view kV3 =
    "0300000080000000000000000300000000000873000000000000000000000000000000000000000000000000010000"
    "00"
    "000102030405060708090a0b0c0d0e0fa5fe69c1efe4cf327a6724a6914d21497fee006dfb936fefd612a8cd6d5023"
    "77"
    "56cb15641a9805ef18884192a9710319a4ef41466950cb4836136ca90bf24a2b";

HwKeyProtector valid_v2() {
  HwKeyProtector protector;
  protector.version = 2;
  protector.svn[0] = std::byte{3};
  protector.svn[7] = std::byte{0x73};
  protector.iv.fill(std::byte{1});
  protector.ciphertext.fill(std::byte{2});
  protector.hmac.fill(std::byte{3});
  return protector;
}

HwKeyProtector valid_v3() { return *decode_hw_key_protector(*base::from_hex(kV3)); }

void expect_corrupt_at(const HwKeyProtector& protector, std::size_t offset, unsigned char value,
                       const std::string& why) {
  auto bytes = encode(protector);
  bytes[offset] = std::byte{value};
  const auto decoded = decode_hw_key_protector(bytes);
  ASSERT_FALSE(decoded);
  EXPECT_EQ(decoded.error().code, base::ErrorCode::kCorrupt);
  EXPECT_THAT(decoded.error().message, HasSubstr(why));
}

TEST(HwKeyProtectorTest, ReadsTheKnownVersion3) {
  const auto protector = valid_v3();

  EXPECT_EQ(protector.version, 3U);
  EXPECT_FALSE(protector.tdx);
  EXPECT_TRUE(protector.mix_measurement);
  EXPECT_EQ(base::to_hex(protector.svn), "0300000000000873" + std::string(48, '0'));
  EXPECT_EQ(base::to_hex(protector.iv), "000102030405060708090a0b0c0d0e0f");
  EXPECT_EQ(base::to_hex(encode(protector)), kV3);
}

TEST(HwKeyProtectorTest, RoundTripsVersion2) {
  const auto bytes = encode(valid_v2());

  EXPECT_EQ(base::to_hex(base::ByteView(bytes).first(24)),
            "02000000"
            "68000000"
            "0300000000000073"
            "01"
            "00000000000000");
  EXPECT_EQ(*decode_hw_key_protector(bytes), valid_v2());
}

TEST(HwKeyProtectorTest, RoundTripsTdx) {
  auto protector = valid_v3();
  protector.tdx = true;
  protector.svn.fill(std::byte{9});
  protector.mix_measurement = false;

  EXPECT_EQ(*decode_hw_key_protector(encode(protector)), protector);
}

TEST(HwKeyProtectorTest, NamesVersion1) {
  expect_corrupt_at(valid_v2(), 0, 1, "version 1, which no current program can open");
}

TEST(HwKeyProtectorTest, RejectsSizesThatBelongToAnotherVersion) {
  expect_corrupt_at(valid_v2(), 0, 3, "104 bytes but version 3");
  expect_corrupt_at(valid_v3(), 0, 2, "128 bytes but version 2");
  for (const std::size_t size : {0U, 103U, 105U, 127U, 129U}) {
    const base::Bytes bytes(size);
    const auto decoded = decode_hw_key_protector(bytes);
    ASSERT_FALSE(decoded);
    EXPECT_THAT(decoded.error().message, HasSubstr(std::to_string(size) + " bytes"));
  }
}

TEST(HwKeyProtectorTest, RejectsFieldsThatDisagree) {
  expect_corrupt_at(valid_v2(), 4, 0x69, "length field says 105");
  expect_corrupt_at(valid_v3(), 4, 0x81, "length field says 129");
  expect_corrupt_at(valid_v2(), 16, 2, "mix_measurement");
  expect_corrupt_at(valid_v3(), 44, 2, "mix_measurement");
  expect_corrupt_at(valid_v2(), 23, 1, "reserved");
  expect_corrupt_at(valid_v3(), 47, 1, "reserved");
  expect_corrupt_at(valid_v3(), 8, 2, "unknown TEE type 2");
  expect_corrupt_at(valid_v3(), 20, 1, "more than a TCB version");
}

}  // namespace
}  // namespace vmgs::format
