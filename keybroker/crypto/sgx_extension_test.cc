// SPDX-License-Identifier: Apache-2.0
#include "keybroker/crypto/sgx_extension.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/support/error_code.h"

namespace keybroker::crypto {
namespace {

using ::testing::HasSubstr;

// An extension with every member. Each test spoils one thing about its bytes.
SgxExtension whole_extension() {
  SgxExtension extension;
  extension.ppid.fill(std::byte{0x11});
  for (std::size_t i = 0; i < 16; ++i) {
    extension.tcb.components[i] = static_cast<std::uint8_t>(16 * i + 15);
  }
  extension.tcb.pce_svn = 0xBEEF;
  extension.tcb.cpu_svn.fill(std::byte{0x22});
  extension.fmspc = {std::byte{0x90}, std::byte{0xc0}, std::byte{0x6f}};
  extension.type = SgxType::kScalable;
  extension.platform_instance_id.emplace().fill(std::byte{0x33});
  extension.configuration = SgxConfiguration{true, false, std::nullopt};
  return extension;
}

std::string refusal(base::ByteView der) {
  const auto extension = decode_sgx_extension(der);
  EXPECT_TRUE(extension || extension.error().code == base::ErrorCode::kCorrupt);
  return extension ? "accepted" : extension.error().message;
}

// Replaces the first occurrence of some bytes by as many others.
base::Bytes replaced(base::Bytes bytes, const char* from, const char* to) {
  const auto old_bytes = *base::from_hex(from);
  const auto new_bytes = *base::from_hex(to);
  const auto at = std::search(bytes.begin(), bytes.end(), old_bytes.begin(), old_bytes.end());
  EXPECT_NE(at, bytes.end()) << from;
  std::copy(new_bytes.begin(), new_bytes.end(), at);
  return bytes;
}

TEST(SgxExtensionTest, RoundTripsWithAndWithoutOptionalMembers) {
  auto extension = whole_extension();
  EXPECT_EQ(*decode_sgx_extension(encode(extension)), extension);

  extension.platform_instance_id.reset();
  extension.configuration.reset();
  extension.type = SgxType::kStandard;
  EXPECT_EQ(*decode_sgx_extension(encode(extension)), extension);
}

TEST(SgxExtensionTest, RefusesEveryCutAndEveryAddedByte) {
  auto bytes = encode(whole_extension());
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_FALSE(decode_sgx_extension(base::ByteView(bytes).first(size))) << size;
  }
  bytes.push_back(std::byte{0});
  EXPECT_THAT(refusal(bytes), HasSubstr("no DER SEQUENCE"));
}

TEST(SgxExtensionTest, RefusesRepeatedMissingAndUnknownMembers) {
  const auto bytes = encode(whole_extension());
  // 2A 86 48 86 F8 4D 01 0D 01 is the OID of the extension; one more byte names a member.
  EXPECT_THAT(refusal(replaced(bytes, "2a864886f84d010d0103", "2a864886f84d010d0104")),
              HasSubstr("there twice"));
  EXPECT_THAT(refusal(replaced(bytes, "2a864886f84d010d0106", "2a864886f84d010d0109")),
              HasSubstr("1.2.840.113741.1.13.1.9 is not known"));
  EXPECT_THAT(refusal(replaced(bytes, "2a864886f84d010d010210", "2a864886f84d010d010213")),
              HasSubstr("1.2.840.113741.1.13.1.2.16 is missing"));
}

TEST(SgxExtensionTest, RefusesNumbersThatDoNotFit) {
  const auto bytes = encode(whole_extension());
  // Component 9 is 143, so two content bytes 00 8F.
  EXPECT_THAT(refusal(replaced(bytes, "0202008f", "02020100")),
              HasSubstr("1.2.840.113741.1.13.1.2.9 is not between 0 and 255"));
  EXPECT_THAT(refusal(replaced(bytes, "0202008f", "0202ff00")), HasSubstr("not between"));
  EXPECT_THAT(refusal(replaced(bytes, "0202008f", "02020001")), HasSubstr("no DER SEQUENCE"));
  EXPECT_THAT(refusal(replaced(bytes, "0a0101", "0a0103")), HasSubstr("not between 0 and 2"));
  EXPECT_THAT(refusal(replaced(bytes, "020300beef", "020301beef")),
              HasSubstr("not between 0 and 65535"));
}

TEST(SgxExtensionTest, RefusesMembersOfAnotherType) {
  const auto bytes = encode(whole_extension());
  EXPECT_THAT(refusal(replaced(bytes, "0a0101", "020101")),
              HasSubstr("1.2.840.113741.1.13.1.5 has another type"));
  EXPECT_THAT(refusal(replaced(bytes, "0101ff", "020101")),
              HasSubstr("1.2.840.113741.1.13.1.7.1 has another type"));
}

}  // namespace
}  // namespace keybroker::crypto
