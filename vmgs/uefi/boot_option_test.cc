// SPDX-License-Identifier: Apache-2.0
#include "vmgs/uefi/boot_option.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/error_code.h"

namespace vmgs::uefi {
namespace {

using base::ErrorCode;
using testing::ElementsAre;
using tests::support::error_code;

const std::string kPath =
    "0406"
    "0800"
    "01020304"
    "7fff"
    "0400";

base::Bytes option(const std::string& path, const std::string& length,
                   const std::string& rest = "") {
  return *base::from_hex("01000000" + length + "550049000000" + path + rest);
}

TEST(BootOptionTest, HasADescriptionAndADevicePath) {
  const auto decoded = decode_boot_option(option(kPath, "0c00", "abcd"));

  ASSERT_TRUE(decoded) << decoded.error().message;
  EXPECT_TRUE(decoded->is_active);
  EXPECT_EQ(decoded->description, u"UI");
  EXPECT_EQ(decoded->device_path_nodes, 2u);
  EXPECT_EQ(decoded->optional_bytes, 2u);
}

TEST(BootOptionTest, MayBeOff) {
  auto bytes = option(kPath, "0c00");
  bytes[0] = std::byte{0};
  EXPECT_FALSE(decode_boot_option(bytes)->is_active);
}

TEST(BootOptionTest, RefusesPathsThatDoNotFit) {
  EXPECT_EQ(error_code(decode_boot_option(option(kPath, "0d00"))), ErrorCode::kCorrupt);
  EXPECT_EQ(error_code(decode_boot_option(option(kPath, "0800"))), ErrorCode::kCorrupt);
  EXPECT_EQ(error_code(decode_boot_option(option("7fff"
                                                 "0300",
                                                 "0400"))),
            ErrorCode::kCorrupt);
  EXPECT_EQ(error_code(decode_boot_option(option("7fff"
                                                 "0500",
                                                 "0400"))),
            ErrorCode::kCorrupt);
}

TEST(BootOptionTest, RefusesADescriptionWithoutAnEnd) {
  EXPECT_EQ(error_code(decode_boot_option(*base::from_hex("010000000000"
                                                          "5500"))),
            ErrorCode::kCorrupt);
}

TEST(BootOptionTest, IsNamedByFourUpperCaseDigits) {
  EXPECT_EQ(boot_option_name(0), u"Boot0000");
  EXPECT_EQ(boot_option_name(0xab1f), u"BootAB1F");
}

TEST(BootOrderTest, IsAListOfNumbers) {
  EXPECT_THAT(*decode_boot_order(*base::from_hex("00000a001001")), ElementsAre(0, 10, 0x110));
  EXPECT_EQ(error_code(decode_boot_order(*base::from_hex("000001"))), ErrorCode::kCorrupt);
}

}  // namespace
}  // namespace vmgs::uefi
