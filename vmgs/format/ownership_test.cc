// SPDX-License-Identifier: Apache-2.0
#include "vmgs/format/ownership.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace vmgs::format {
namespace {

using testing::HasSubstr;

Ownership offered() {
  Ownership ownership;
  ownership.epoch = 0x0102030405060708;
  ownership.standing = Standing::kOffered;
  ownership.ticket.fill(std::byte{0xaa});
  ownership.release_digest.fill(std::byte{0xbb});
  return ownership;
}

std::string why_refused(const base::Bytes& bytes) {
  const auto ownership = decode_ownership(bytes);
  EXPECT_FALSE(ownership);
  if (ownership) {
    return "";
  }
  EXPECT_EQ(ownership.error().code, base::ErrorCode::kCorrupt);
  return ownership.error().message;
}

base::Bytes spoilt(std::size_t at, unsigned char value) {
  auto bytes = encode_ownership(offered());
  bytes[at] = std::byte{value};
  return bytes;
}

TEST(OwnershipTest, LiesAsItIsWrittenDown) {
  const auto bytes = encode_ownership(offered());

  ASSERT_EQ(bytes.size(), kOwnershipBytes);
  EXPECT_EQ(base::to_hex(base::ByteView(bytes).first(26)),
            "53524f57"
            "01000000"
            "0807060504030201"
            "01"
            "00000000000000"
            "aaaa");
  EXPECT_EQ(base::to_hex(base::ByteView(bytes).subspan(39, 2)), "aabb");
}

TEST(OwnershipTest, ComesOutAsItWentIn) {
  Ownership arrived;
  arrived.epoch = 7;
  arrived.ticket.fill(std::byte{1});
  for (const auto& ownership : {Ownership(), arrived, offered()}) {
    const auto decoded = decode_ownership(encode_ownership(ownership));
    ASSERT_TRUE(decoded) << decoded.error().message;
    EXPECT_EQ(*decoded, ownership);
  }
}

TEST(OwnershipTest, RefusesWhatThereIsNot) {
  EXPECT_THAT(why_refused(spoilt(0, 'x')), HasSubstr("magic"));
  EXPECT_THAT(why_refused(spoilt(4, 2)), HasSubstr("version 2"));
  EXPECT_THAT(why_refused(spoilt(16, 2)), HasSubstr("standing 2"));
  EXPECT_THAT(why_refused(spoilt(23, 1)), HasSubstr("reserved"));
  auto without_epoch = offered();
  without_epoch.epoch = 0;
  EXPECT_THAT(why_refused(encode_ownership(without_epoch)), HasSubstr("epoch"));
  auto bytes = encode_ownership(offered());
  bytes.push_back(std::byte{0});
  EXPECT_THAT(why_refused(bytes), HasSubstr("73 bytes"));
  bytes.resize(71);
  EXPECT_THAT(why_refused(bytes), HasSubstr("71 bytes"));
}

TEST(OwnershipTest, RefusesAnOfferThatNamesNobodyAndANameWithoutAnOffer) {
  auto to_nobody = offered();
  to_nobody.ticket = {};
  auto for_good = offered();
  for_good.release_digest = {};
  auto owned = offered();
  owned.standing = Standing::kOwned;
  for (const auto& odd : {to_nobody, for_good, owned}) {
    EXPECT_THAT(why_refused(encode_ownership(odd)), HasSubstr("agree"));
  }
}

}  // namespace
}  // namespace vmgs::format
