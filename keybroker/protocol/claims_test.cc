// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "keybroker/protocol/extended_claims.h"
#include "keybroker/protocol/runtime_claims.h"
#include "keybroker/protocol/uuid.h"
#include "tests/support/error_code.h"

namespace keybroker::protocol {
namespace {

using ::testing::HasSubstr;
using tests::support::error_code;

base::Bytes modulus(std::size_t bytes) {
  base::Bytes number(bytes, std::byte{0xA5});
  number.back() = std::byte{0x01};
  return number;
}

// The largest claims that our vTPM writes. Each test spoils one thing about them.
RuntimeClaims whole_claims() {
  RuntimeClaims claims;
  claims.keys = {{std::string(kAkKeyId), {"sign"}, modulus(256), *base::from_hex("010001")}};
  claims.vm = {.secure_boot = false,
               .tpm_enabled = false,
               .tpm_persisted = false,
               .console_enabled = std::nullopt,
               .vm_unique_id = "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
               .hardware_sealing_policy = "hash"};
  claims.user_data.emplace().fill(std::byte{0xFF});
  claims.extended_digest.emplace().fill(std::byte{0xEE});
  return claims;
}

std::string refusal(const std::string& text) {
  const auto claims = decode_runtime_claims(text);
  EXPECT_TRUE(claims || claims.error().code == base::ErrorCode::kCorrupt);
  return claims ? "accepted" : claims.error().message;
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const auto at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

TEST(RuntimeClaimsTest, ComeBackAsTheyWereWritten) {
  auto claims = whole_claims();
  EXPECT_EQ(*decode_runtime_claims(*encode(claims)), claims);
  claims.user_data.reset();
  claims.extended_digest.reset();
  EXPECT_EQ(*decode_runtime_claims(*encode(claims)), claims);
}

// 2048 bytes of NV index less 1236 of report leave 812.
TEST(RuntimeClaimsTest, FitTheIndexAtTheirLargest) {
  EXPECT_EQ(encode(whole_claims())->size(), 793U);
}

TEST(RuntimeClaimsTest, HaveTheirMembersInOrder) {
  const auto text = *encode(whole_claims());
  EXPECT_TRUE(text.starts_with(
      R"({"keys":[{"kid":"HCLAkPub","key_ops":["sign"],"kty":"RSA","e":"AQAB","n":")"));
  EXPECT_THAT(
      text,
      HasSubstr(
          R"("vm-configuration":{"secure-boot":false,"tpm-enabled":false,"tpm-persisted":false,)"
          R"("vmUniqueId":"6ba7b810-9dad-11d1-80b4-00c04fd430c8","hardware-sealing-policy":"hash"},)"
          R"("user-data":"ffff)"));
}

TEST(RuntimeClaimsTest, ReadWhatOthersWrite) {
  const auto claims = decode_runtime_claims(
      R"({"keys":[],"vm-configuration":{"console-enabled":true,"current-time":1678652405,)"
      R"("secure-boot":true,"tpm-enabled":true,"vmUniqueId":"BAEFD3E1-184B-4C4C-AB88-0BDAD260505F"}})");
  ASSERT_TRUE(claims) << claims.error().message;
  EXPECT_TRUE(*claims->vm.secure_boot);
  EXPECT_FALSE(claims->vm.tpm_persisted);
  EXPECT_FALSE(claims->user_data);
  EXPECT_EQ(claims->key(kAkKeyId), nullptr);
  EXPECT_EQ(error_code(encode(*claims)), base::ErrorCode::kInvalidArgument);
}

// H4 and what stands around it.
TEST(RuntimeClaimsTest, RefuseWeakRepeatedAndOtherKeys) {
  const auto with = [](auto change) {
    auto claims = whole_claims();
    change(claims.keys);
    return refusal(*encode(claims));
  };
  EXPECT_THAT(with([](auto& keys) { keys.push_back(keys[0]); }), HasSubstr("there twice"));
  EXPECT_THAT(with([](auto& keys) { keys[0].modulus = modulus(128); }), HasSubstr("2048 bits"));
  EXPECT_THAT(with([](auto& keys) { keys[0].modulus[0] = std::byte{0x7F}; }),
              HasSubstr("2048 bits"));
  EXPECT_THAT(with([](auto& keys) { keys[0].modulus.back() = std::byte{2}; }), HasSubstr("even"));
  EXPECT_THAT(
      with([](auto& keys) { keys[0].modulus.insert(keys[0].modulus.begin(), std::byte{0}); }),
      HasSubstr("no number"));
  for (const char* exponent : {"01", "03", "010000", "0100000001"}) {
    EXPECT_THAT(with([&](auto& keys) { keys[0].exponent = *base::from_hex(exponent); }),
                HasSubstr("exponent"));
  }
  const auto text = *encode(whole_claims());
  EXPECT_THAT(refusal(replaced(text, "RSA", "EC")), HasSubstr("not RSA"));
  EXPECT_THAT(refusal(replaced(text, "AQAB", "AQAB=")), HasSubstr("no number"));
  EXPECT_THAT(refusal(replaced(text, "AQAB", "")), HasSubstr("no number"));
  EXPECT_THAT(refusal(replaced(text, "[\"sign\"]", "[1]")), HasSubstr("no string"));
}

TEST(RuntimeClaimsTest, RefuseMisshapenMembers) {
  const auto text = *encode(whole_claims());
  EXPECT_THAT(refusal(""), HasSubstr("JSON"));
  EXPECT_THAT(refusal("[]"), HasSubstr("no object"));
  EXPECT_THAT(refusal(text + "{}"), HasSubstr("JSON"));
  EXPECT_THAT(refusal(replaced(text, "\"keys\"", "\"kees\"")), HasSubstr("'keys'"));
  EXPECT_THAT(refusal(replaced(text, "vm-configuration", "vm_configuration")),
              HasSubstr("vm-configuration"));
  EXPECT_THAT(refusal(replaced(text, "\"secure-boot\":false", "\"secure-boot\":\"false\"")),
              HasSubstr("secure-boot"));
  EXPECT_THAT(refusal(replaced(text, "\"user-data\":\"ff", "\"user-data\":\"f")),
              HasSubstr("user-data"));
  EXPECT_THAT(refusal(replaced(text, "claims-sha256\":\"", "claims-sha256\":\"AA")),
              HasSubstr("claims-sha256"));
  EXPECT_THAT(refusal(replaced(text, "\"user-data\":", "\"keys\":1,\"user-data\":")),
              HasSubstr("there twice"));
}

ExtendedClaims whole_extended() {
  ExtendedClaims claims;
  claims.purpose = "boot";
  claims.vm_id = *parse_uuid("6ba7b810-9dad-11d1-80b4-00c04fd430c8");
  claims.boot_id.fill(std::byte{0x11});
  claims.launch = base::Bytes(48, std::byte{0x22});
  claims.home = Home::kParavisor;
  claims.origin = SeedOrigin::kForeign;
  claims.lifetime = Lifetime::kEphemeral;
  claims.state_protection = {Protection::kHardware, std::string(64, 'a'), std::string(16, 'b')};
  claims.ek_name = claims.ak_name = base::Bytes(34, std::byte{0x33});
  claims.ecc_ak_name = base::Bytes(50, std::byte{0x44});
  claims.ecc_ek_name = base::Bytes(34, std::byte{0x55});
  claims.tee_simulated = true;
  claims.freshness = boost::json::object{{"by", "broker"},
                                         {"state", "unanchored"},
                                         {"epoch", ~0ULL},
                                         {"acked", ~0ULL},
                                         {"seq", ~0ULL},
                                         {"restores", 4294967295U},
                                         {"offline-boots", 4294967295U},
                                         {"policy", "interval:4294967295"},
                                         {"lease", "strict"}};
  return claims;
}

TEST(ExtendedClaimsTest, ComeBackAsTheyWereWritten) {
  auto claims = whole_extended();
  EXPECT_EQ(*decode_extended_claims(*encode(claims)), claims);
  claims.ecc_ak_name.reset();
  claims.ecc_ek_name.reset();
  claims.freshness.reset();
  claims.launch.resize(32);
  EXPECT_EQ(*decode_extended_claims(*encode(claims)), claims);
}

// The index has room for 2048 bytes.
TEST(ExtendedClaimsTest, FitTheIndexAtTheirLargest) {
  EXPECT_EQ(encode(whole_extended())->size(), 1032U);
}

TEST(ExtendedClaimsTest, PassOverMembersThatAreNotKnown) {
  auto text = *encode(whole_extended());
  text.insert(1, "\"later\":{\"a\":1},");
  EXPECT_EQ(*decode_extended_claims(text), whole_extended());
}

TEST(ExtendedClaimsTest, RefuseMissingAndMisshapenMembers) {
  const auto text = *encode(whole_extended());
  const auto whole = boost::json::parse(text).as_object();
  for (const auto& member : whole) {
    const bool optional = member.key() == "ecc-ak-name" || member.key() == "ecc-ek-name" ||
                          member.key() == "freshness";
    auto less = whole;
    less.erase(member.key());
    EXPECT_EQ(decode_extended_claims(boost::json::serialize(less)).has_value(), optional)
        << member.key();
    auto other = whole;
    other[member.key()] = 7;
    EXPECT_EQ(error_code(decode_extended_claims(boost::json::serialize(other))),
              base::ErrorCode::kCorrupt)
        << member.key();
  }
  EXPECT_FALSE(decode_extended_claims(replaced(text, "paravisor", "cloud")));
  EXPECT_FALSE(decode_extended_claims(std::string(kMaxExtendedClaimsBytes + 1, ' ')));
  auto claims = whole_extended();
  claims.ak_name.clear();
  EXPECT_EQ(error_code(encode(claims)), base::ErrorCode::kInvalidArgument);
}

TEST(UuidTest, ComesBackInLowerCase) {
  EXPECT_EQ(uuid_text(*parse_uuid("6BA7B810-9DAD-11D1-80B4-00C04FD430C8")),
            "6ba7b810-9dad-11d1-80b4-00c04fd430c8");
  for (const char* text :
       {"", "6ba7b810-9dad-11d1-80b4-00c04fd430c", "6ba7b8109dad11d180b400c04fd430c8",
        "{6ba7b810-9dad-11d1-80b4-00c04fd430c8}", "6ba7b810-9dad-11d1-80b4-00c04fd430cx"}) {
    EXPECT_EQ(error_code(parse_uuid(text)), base::ErrorCode::kInvalidArgument) << text;
  }
}

}  // namespace
}  // namespace keybroker::protocol
