// SPDX-License-Identifier: Apache-2.0
#include "vmgs/uefi/authenticated_update.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/support/error_code.h"

namespace vmgs::uefi {
namespace {

using base::ErrorCode;
using tests::support::error_code;

AuthenticatedUpdate update() {
  AuthenticatedUpdate made;
  const auto time = *base::from_hex("ea070b160e1e3b00000000000000000000");
  std::copy_n(time.begin(), made.time.size(), made.time.begin());
  made.signed_data = base::Bytes(300, std::byte{0x30});
  made.payload = base::Bytes(76, std::byte{0x11});
  return made;
}

base::Bytes with(std::size_t at, std::uint8_t value) {
  auto bytes = encode(update());
  bytes[at] = std::byte{value};
  return bytes;
}

TEST(AuthenticatedUpdateTest, ReadsWhatItWrites) {
  const auto bytes = encode(update());

  EXPECT_EQ(bytes.size(), 16U + 24 + 300 + 76);
  EXPECT_TRUE(is_authenticated_update(bytes));
  EXPECT_EQ(*decode_authenticated_update(bytes), update());
  EXPECT_EQ(update().timestamp(), (Timestamp{2026, 11, 22, 14, 30, 59}));
}

TEST(AuthenticatedUpdateTest, IsToldFromSignatureLists) {
  EXPECT_FALSE(is_authenticated_update(base::Bytes(76, std::byte{0x26})));
  EXPECT_FALSE(is_authenticated_update({}));
  EXPECT_EQ(error_code(decode_authenticated_update(base::Bytes(76))), ErrorCode::kCorrupt);
}

TEST(AuthenticatedUpdateTest, RefusesAnotherKindOfCertificate) {
  EXPECT_EQ(error_code(decode_authenticated_update(with(20, 1))), ErrorCode::kCorrupt);
  EXPECT_EQ(error_code(decode_authenticated_update(with(22, 0xf0))), ErrorCode::kCorrupt);
  EXPECT_EQ(error_code(decode_authenticated_update(with(24, 0))), ErrorCode::kCorrupt);
}

TEST(AuthenticatedUpdateTest, RefusesLengthsThatDoNotFit) {
  EXPECT_EQ(error_code(decode_authenticated_update(with(19, 1))), ErrorCode::kCorrupt);
  auto bytes = with(16, 23);
  bytes[17] = std::byte{0};
  EXPECT_EQ(error_code(decode_authenticated_update(bytes)), ErrorCode::kCorrupt);
}

TEST(AuthenticatedUpdateTest, RefusesATimeWithFieldsThatFirmwareWantsZero) {
  for (const std::size_t at : {7U, 8U, 11U, 12U, 13U, 14U, 15U}) {
    EXPECT_EQ(error_code(decode_authenticated_update(with(at, 1))), ErrorCode::kCorrupt) << at;
  }
}

TEST(AuthenticatedUpdateTest, SignsNameVendorAttributesTimeAndPayload) {
  const auto content = signed_content(update(), kImageSecurityDatabase, u"dbx", 0x67);

  const auto expected = "640062007800" + base::to_hex(kImageSecurityDatabase) + "67000000" +
                        base::to_hex(update().time) + base::to_hex(update().payload);
  EXPECT_EQ(base::to_hex(content), expected);
}

}  // namespace
}  // namespace vmgs::uefi
