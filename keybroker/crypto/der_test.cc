// SPDX-License-Identifier: Apache-2.0
#include "keybroker/crypto/der.h"

#include <gtest/gtest.h>

#include "tests/support/error_code.h"

namespace keybroker::crypto {
namespace {

using tests::support::error_code;

base::Bytes hex(const char* digits) { return *base::from_hex(digits); }

TEST(DerTest, ReadsIntegersInTheirShortestForm) {
  EXPECT_EQ(*decode_der_integer(hex("020100")), 0);
  EXPECT_EQ(*decode_der_integer(hex("02020080")), 128);
  EXPECT_EQ(*decode_der_integer(hex("020180")), -128);
  for (const char* wrong : {"", "02", "0200", "0201", "02010000", "02020001", "02817f01", "04010a",
                            "0209010000000000000000", "308002010000"}) {
    EXPECT_EQ(error_code(decode_der_integer(hex(wrong))), base::ErrorCode::kCorrupt) << wrong;
  }
}

TEST(DerTest, ReadsPrintableText) {
  EXPECT_EQ(*decode_der_ia5(hex("16084d696c616e2d4230")), "Milan-B0");
  for (const char* wrong :
       {"", "16054d696c616e00", "16024d00", "160180", "0c054d696c616e", "1681054d696c616e"}) {
    EXPECT_EQ(error_code(decode_der_ia5(hex(wrong))), base::ErrorCode::kCorrupt) << wrong;
  }
}

TEST(DerTest, ReadsOctets) {
  EXPECT_EQ(*decode_der_octets(hex("0402beef")), hex("beef"));
  EXPECT_TRUE(decode_der_octets(hex("0400"))->empty());
  // Constructed and indefinite forms are BER.
  for (const char* wrong : {"", "0403beef", "0401beef", "24800402beef0000", "048102beef"}) {
    EXPECT_EQ(error_code(decode_der_octets(hex(wrong))), base::ErrorCode::kCorrupt) << wrong;
  }
}

TEST(DerTest, WritesWhatItReads) {
  for (const std::int64_t value : {0L, 1L, 127L, 128L, 255L, 65535L, -1L}) {
    EXPECT_EQ(*decode_der_integer(encode_der_integer(value)), value);
  }
  EXPECT_EQ(*decode_der_ia5(encode_der_ia5("Turin")), "Turin");
  EXPECT_EQ(*decode_der_octets(encode_der_octets(hex("00ff"))), hex("00ff"));
}

TEST(DerTest, ConstructedValuesHaveTheShortestLength) {
  const auto hex = [](const base::Bytes& bytes) { return base::to_hex(bytes); };
  EXPECT_EQ(hex(encode_der_constructed(0x30, {})), "3000");
  EXPECT_EQ(hex(encode_der_constructed(0x31, {encode_der_utf8("2.0"), encode_der_integer(164)})),
            "31090c03322e30020200a4");
  EXPECT_EQ(hex(encode_der_oid("2.23.133.8.1")), "06056781050801");
  const auto long_form = [&](std::size_t size) {
    return hex(encode_der_constructed(0x30, {base::Bytes(size)})).substr(0, 8);
  };
  EXPECT_EQ(long_form(0x7F), "307f0000");
  EXPECT_EQ(long_form(0x80), "30818000");
  EXPECT_EQ(long_form(0xFF), "3081ff00");
  EXPECT_EQ(long_form(0x100), "30820100");
}

}  // namespace
}  // namespace keybroker::crypto
