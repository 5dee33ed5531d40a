// SPDX-License-Identifier: Apache-2.0
#include "keybroker/protocol/strict_json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace keybroker::protocol {
namespace {

using ::testing::HasSubstr;

std::string refusal(std::string_view text, std::size_t most = 1000) {
  const auto value = parse_json(text, most);
  EXPECT_TRUE(value || value.error().code == base::ErrorCode::kCorrupt);
  return value ? "accepted" : value.error().message;
}

TEST(StrictJsonTest, ReadsOneDocument) {
  EXPECT_EQ(refusal(R"({"a":{"b":[1,true,null,"x"]},"b":2})"), "accepted");
  EXPECT_EQ(refusal(" {} \n"), "accepted");
  EXPECT_THAT(refusal(""), HasSubstr("at byte 0"));
  EXPECT_THAT(refusal("{} {}"), HasSubstr("at byte"));
  EXPECT_THAT(refusal("{\"a\":1"), HasSubstr("at byte"));
  EXPECT_THAT(refusal("{'a':1}"), HasSubstr("at byte"));
  EXPECT_THAT(refusal("{\"a\":1,}"), HasSubstr("at byte"));
  EXPECT_THAT(refusal("{/* */}"), HasSubstr("at byte"));
  EXPECT_THAT(refusal("\xEF\xBB\xBF{}"), HasSubstr("at byte"));
  EXPECT_THAT(refusal("\"\xFF\""), HasSubstr("at byte"));
  EXPECT_THAT(refusal("{\"a\":1}", 6), HasSubstr("at most 6"));
}

TEST(StrictJsonTest, RefusesRepeatedMembersAtEachLevel) {
  EXPECT_THAT(refusal(R"({"a":1,"a":1})"), HasSubstr("'a' is there twice"));
  EXPECT_THAT(refusal(R"([{"x":{"a":1,"b":2,"a":3}}])"), HasSubstr("'a' is there twice"));
  // The same name spelt with an escape.
  EXPECT_THAT(refusal(R"({"a":1,"\u0061":1})"), HasSubstr("'a' is there twice"));
  EXPECT_EQ(refusal(R"({"a":{"a":{"a":1}},"b":[{"a":1},{"a":1}]})"), "accepted");
}

TEST(StrictJsonTest, SaysWhereTheFaultIs) {
  EXPECT_THAT(refusal(R"({"a":[1,"x",{},[],{"b":{"c":1,"c":2}}]})"),
              HasSubstr("'c' is there twice in a[4].b"));
  EXPECT_THAT(refusal(R"([[true,null,1.5,-1,{"k":{}, "k":1}]])"), HasSubstr("twice in [0][4]"));
  EXPECT_THAT(refusal(R"({"a":{"b":[0,x]}})"), HasSubstr(" in a.b"));
  EXPECT_THAT(refusal(R"({"a":1,"a":2})"), ::testing::EndsWith("twice"));
}

TEST(StrictJsonTest, RefusesNulAndDepth) {
  EXPECT_THAT(refusal(R"({"a":"x\u0000y"})"), HasSubstr("NUL"));
  EXPECT_THAT(refusal(R"({"x\u0000y":1})"), HasSubstr("NUL"));
  EXPECT_EQ(refusal(std::string(16, '[') + std::string(16, ']')), "accepted");
  EXPECT_THAT(refusal(std::string(17, '[') + std::string(17, ']')), HasSubstr("at byte"));
}

TEST(StrictJsonTest, MembersAreOfTheirType) {
  const auto value = *parse_json(
      R"({"t":"x","n":7,"neg":-1,"d":1.5,"e":1e3,"big":99999999999999999999,"f":true,"h":"0aF0",
          "o":{},"a":[]})",
      1000);
  const auto& object = value.as_object();

  EXPECT_EQ(*text_member(object, "t"), "x");
  EXPECT_EQ(*number_member(object, "n", 7), 7U);
  EXPECT_TRUE(*flag_member(object, "f"));
  EXPECT_EQ(base::to_hex(*hex_member(object, "h", 2)), "0af0");
  EXPECT_TRUE((*object_member(object, "o"))->empty());
  EXPECT_TRUE((*array_member(object, "a"))->empty());
  for (const char* name : {"t", "neg", "d", "e", "big", "missing"}) {
    EXPECT_FALSE(number_member(object, name, ~0ULL)) << name;
  }
  EXPECT_FALSE(number_member(object, "n", 6));
  EXPECT_FALSE(text_member(object, "n"));
  EXPECT_FALSE(flag_member(object, "n"));
  EXPECT_FALSE(hex_member(object, "h", 3));
  EXPECT_FALSE(hex_member(object, "t", 1));
  EXPECT_FALSE(object_member(object, "a"));
  EXPECT_FALSE(array_member(object, "o"));
}

TEST(StrictJsonTest, UnknownMembersAreNamed) {
  const auto value = *parse_json(R"({"a":1,"c":2})", 100);
  EXPECT_TRUE(expect_only(value.as_object(), {"a", "b", "c"}));
  EXPECT_THAT(expect_only(value.as_object(), {"a", "b"}).error().message,
              HasSubstr("'c' is not known"));
}

}  // namespace
}  // namespace keybroker::protocol
