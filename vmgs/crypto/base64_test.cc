// SPDX-License-Identifier: Apache-2.0
#include "vmgs/crypto/base64.h"

#include <gtest/gtest.h>

#include <utility>

#include "tests/support/error_code.h"

namespace vmgs::crypto {
namespace {

std::string text_of(const base::Bytes& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

TEST(Base64Test, HasTheVectorsOfRfc4648) {
  const std::pair<const char*, const char*> kVectors[] = {{"", ""},
                                                          {"f", "Zg=="},
                                                          {"fo", "Zm8="},
                                                          {"foo", "Zm9v"},
                                                          {"foob", "Zm9vYg=="},
                                                          {"fooba", "Zm9vYmE="},
                                                          {"foobar", "Zm9vYmFy"}};
  for (const auto& [plain, text] : kVectors) {
    EXPECT_EQ(encode_base64(base::bytes_of(plain), Base64::kPadded), text);
    EXPECT_EQ(text_of(*decode_base64(text, Base64::kPadded)), plain);
  }
}

TEST(Base64Test, UrlFormHasItsOwnAlphabetAndNoPadding) {
  const base::Bytes bytes{std::byte{0xfb}, std::byte{0xff}, std::byte{0xfe}, std::byte{0x01}};
  EXPECT_EQ(encode_base64(bytes, Base64::kPadded), "+//+AQ==");
  EXPECT_EQ(encode_base64(bytes, Base64::kUrl), "-__-AQ");
  EXPECT_EQ(*decode_base64("-__-AQ", Base64::kUrl), bytes);
}

TEST(Base64Test, RefusesWhatItWouldNotWrite) {
  for (const char* text : {"Zg", "Zg=", "Zg===", "Z", "Zh==", " Zg==", "Zg==\n",
                           "Zg==Zg==", "====", "Zm9v=", "Zm9-", "Z=8v"}) {
    EXPECT_EQ(tests::support::error_code(decode_base64(text, Base64::kPadded)),
              base::ErrorCode::kInvalidArgument)
        << text;
  }
  for (const char* text : {"Zg==", "Z", "Zh", "Zm9v+/==", "+/8", "Zm 9v"}) {
    EXPECT_EQ(tests::support::error_code(decode_base64(text, Base64::kUrl)),
              base::ErrorCode::kInvalidArgument)
        << text;
  }
}

TEST(Base64Test, KeepsEveryLength) {
  base::Bytes bytes;
  for (unsigned int i = 0; i < 300; ++i) {
    for (const auto form : {Base64::kPadded, Base64::kUrl}) {
      EXPECT_EQ(*decode_base64(encode_base64(bytes, form), form), bytes);
    }
    bytes.push_back(static_cast<std::byte>(i * 7));
  }
}

}  // namespace
}  // namespace vmgs::crypto
