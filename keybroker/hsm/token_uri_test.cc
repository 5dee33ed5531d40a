// SPDX-License-Identifier: Apache-2.0
#include "keybroker/hsm/token_uri.h"

#include <gtest/gtest.h>

#include <cstring>

#include "keybroker/hsm/return_value.h"
#include "tests/support/error_code.h"

namespace keybroker::hsm {
namespace {

using base::ErrorCode;
using tests::support::error_code;

CK_TOKEN_INFO token(std::string_view label, std::string_view serial) {
  CK_TOKEN_INFO info{};
  std::memset(info.label, ' ', sizeof(info.label));
  std::memset(info.serialNumber, ' ', sizeof(info.serialNumber));
  std::memcpy(info.label, label.data(), label.size());
  std::memcpy(info.serialNumber, serial.data(), serial.size());
  return info;
}

std::string why_not(std::string_view text, const std::filesystem::path& module = "/m.so") {
  const auto uri = TokenUri::parse(text, module);
  if (uri || uri.error().code != ErrorCode::kInvalidArgument) {
    return "(taken)";
  }
  return uri.error().message;
}

TEST(TokenUriTest, NamesATokenAModuleAndAPinFile) {
  const auto uri = TokenUri::parse(
      "pkcs11:token=alpha;serial=7c77?module-path=/usr/lib/m.so&pin-source=file:/etc/pin", {});
  ASSERT_TRUE(uri) << uri.error().message;
  EXPECT_EQ(uri->module(), "/usr/lib/m.so");
  EXPECT_EQ(uri->pin_file(), "/etc/pin");
  EXPECT_TRUE(uri->matches(token("alpha", "7c77")));
  EXPECT_FALSE(uri->matches(token("alpha", "7c78")));
  EXPECT_FALSE(uri->matches(token("beta", "7c77")));
  EXPECT_EQ(uri->text().find("pin"), std::string::npos) << uri->text();
}

TEST(TokenUriTest, TakesTheModuleOfTheConfiguration) {
  const auto uri = TokenUri::parse("pkcs11:serial=1?pin-source=/etc/pin", "/usr/lib/other.so");
  ASSERT_TRUE(uri) << uri.error().message;
  EXPECT_EQ(uri->module(), "/usr/lib/other.so");
  EXPECT_EQ(TokenUri::parse("pkcs11:serial=1?pin-source=file:///etc/pin", "/m.so")->pin_file(),
            "/etc/pin");
}

TEST(TokenUriTest, RefusesAPinThatStandsInIt) {
  const auto why = why_not("pkcs11:token=a?pin-value=1234&pin-source=/etc/pin");
  EXPECT_NE(why.find("pin-value"), std::string::npos) << why;
  EXPECT_EQ(why.find("1234"), std::string::npos) << why;
}

TEST(TokenUriTest, RefusesWhatItMustNotOrCannotFollow) {
  EXPECT_NE(why_not("pkcs11:token=a").find("pin-source"), std::string::npos);
  EXPECT_NE(why_not("pkcs11:token=a?pin-source=|cat%20/etc/pin").find("pin-source"),
            std::string::npos);
  EXPECT_NE(why_not("pkcs11:token=a?pin-source=pin").find("absolute"), std::string::npos);
  EXPECT_NE(why_not("pkcs11:token=a?pin-source=file://host/pin").find("absolute"),
            std::string::npos);
  EXPECT_NE(why_not("pkcs11:model=x?pin-source=/pin").find("names no token"), std::string::npos);
  EXPECT_NE(why_not("pkcs11:token=a;object=k?pin-source=/pin").find("object"), std::string::npos);
  EXPECT_NE(why_not("pkcs11:token=a?pin-source=/pin&module-name=m").find("module-name"),
            std::string::npos);
  EXPECT_NE(why_not("pkcs11:token=a?pin-source=/pin", {}).find("module-path"), std::string::npos);
  EXPECT_NE(why_not("pkcs11:token=a?pin-source=/pin&module-path=m.so").find("absolute"),
            std::string::npos);
  EXPECT_NE(why_not("pkcs11:token=a;colour=red?pin-source=/pin").find("RFC 7512"),
            std::string::npos);
  EXPECT_NE(why_not("http://token=a?pin-source=/pin"), "(taken)");
  EXPECT_NE(why_not("pkcs11:token=" + std::string(2000, 'a') + "?pin-source=/pin"), "(taken)");
  EXPECT_NE(why_not("pkcs11:token=a\n?pin-source=/pin"), "(taken)");
}

TEST(KeyUriTest, ComesBackFromWhatItWrote) {
  const auto id = *base::from_hex("00017fff");
  const auto made = KeyUri::of(token("al pha;\xC3\xA4", "7c77"), id, "state & more");
  ASSERT_TRUE(made) << made.error().message;

  const auto read = KeyUri::parse(base::bytes_of(made->text()));

  ASSERT_TRUE(read) << read.error().message << " " << made->text();
  EXPECT_EQ(read->text(), made->text());
  EXPECT_TRUE(read->matches(token("al pha;\xC3\xA4", "another serial")));
  EXPECT_FALSE(read->matches(token("al pha", "7c77")));
  const auto search = read->search();
  ASSERT_EQ(search.size(), 3U);
  EXPECT_EQ(*static_cast<CK_OBJECT_CLASS*>(search[0].pValue), CK_OBJECT_CLASS{CKO_SECRET_KEY});
  ASSERT_EQ(search[1].ulValueLen, id.size());
  EXPECT_EQ(std::memcmp(search[1].pValue, id.data(), id.size()), 0);
  EXPECT_EQ(std::string_view(static_cast<char*>(search[2].pValue), search[2].ulValueLen),
            "state & more");
}

TEST(KeyUriTest, TakesAKeyThatTheTenantMade) {
  EXPECT_TRUE(KeyUri::parse(base::bytes_of("pkcs11:token=alpha;object=mine;type=secret-key")));
  EXPECT_TRUE(KeyUri::parse(base::bytes_of("pkcs11:object=mine")));
}

TEST(KeyUriTest, RefusesWhatTheRecordStoreMustNotSay) {
  // Whoever can write the record store could load a module of his into the broker, or name a PIN.
  for (const auto* text :
       {"pkcs11:object=k?module-path=/tmp/evil.so", "pkcs11:object=k?pin-value=1",
        "pkcs11:object=k?pin-source=/etc/passwd", "pkcs11:object=k;pin-source=/etc/passwd",
        "pkcs11:object=k?vendor=x", "pkcs11:token=alpha", "pkcs11:", "",
        "pkcs11:object=k;type=private", "pkcs11:object=k;colour=red", "pkcs11:id=%zz",
        "pkcs11:object=\xFF", "https:object=k"}) {
    EXPECT_EQ(error_code(KeyUri::parse(base::bytes_of(text))), ErrorCode::kCorrupt) << text;
  }
  EXPECT_EQ(error_code(KeyUri::parse(base::bytes_of(std::string_view("pkcs11:object=k\0", 16)))),
            ErrorCode::kCorrupt);
}

// A character that must be encoded takes three, so that what is read could be written too long.
TEST(KeyUriTest, RefusesWhatItCouldNotReadAgain) {
  const auto fits = "pkcs11:object=" + std::string(300, '*');
  EXPECT_TRUE(KeyUri::parse(base::bytes_of(fits)));
  EXPECT_EQ(error_code(KeyUri::parse(base::bytes_of(fits + std::string(100, '*')))),
            ErrorCode::kCorrupt);
}

TEST(ReturnValueTest, HasTheNameOfTheStandard) {
  EXPECT_EQ(return_value_name(0), "CKR_OK");
  EXPECT_EQ(return_value_name(0xA0), "CKR_PIN_INCORRECT");
  EXPECT_EQ(return_value_name(0xE0), "CKR_TOKEN_NOT_PRESENT");
  EXPECT_EQ(return_value_name(0xABCDEF), "CKR 0x00abcdef");
  EXPECT_EQ(return_value_name(0x80000001), "CKR_VENDOR_DEFINED 0x80000001");
}

}  // namespace
}  // namespace keybroker::hsm
