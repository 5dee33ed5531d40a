// SPDX-License-Identifier: Apache-2.0
#include "transport/rpc/codec.h"

#include <gtest/gtest.h>

#include <limits>

#include "transport/rpc/testing.pb.h"

namespace transport::rpc {
namespace {

namespace testing = strongroom::rpc::testing;

TEST(ContentTypeTest, KnowsTheFourOfTheProtocol) {
  for (const auto* header : {"application/proto", "application/json", "application/connect+proto",
                             "application/connect+json"}) {
    const auto type = parse_content_type(header);
    ASSERT_TRUE(type) << header;
    EXPECT_EQ(header_of(*type), header);
  }
}

TEST(ContentTypeTest, AllowsCaseAndParameters) {
  EXPECT_EQ(parse_content_type("Application/JSON ; charset=utf-8"),
            (ContentType{Codec::kJson, false}));
}

TEST(ContentTypeTest, KnowsNoOther) {
  for (const auto* header :
       {"", "text/plain", "application/grpc", "application/x-www-form-urlencoded",
        "application/jsonx", ";application/json"}) {
    EXPECT_FALSE(parse_content_type(header)) << header;
  }
}

TEST(CodecTest, KeepsIntegersBeyond53BitsExactInJson) {
  testing::AddResponse response;
  response.set_sum(std::numeric_limits<std::int64_t>::max());

  const auto json = encode_message(Codec::kJson, response);

  ASSERT_TRUE(json);
  EXPECT_EQ(*json, R"({"sum":"9223372036854775807"})");
  testing::AddResponse read;
  ASSERT_TRUE(decode_message(Codec::kJson, *json, UnknownFields::kRefuse, read));
  EXPECT_EQ(read.sum(), response.sum());
}

TEST(CodecTest, RefusesMalformedJson) {
  for (const auto* text : {"", "{", "nul", R"({"a":)", R"({"a":"x"})", R"({"a":1e40})",
                           R"({"a":1}{})", "\xff\xfe", R"([1])", R"({"a":{}})"}) {
    testing::AddRequest request;
    EXPECT_FALSE(decode_message(Codec::kJson, text, UnknownFields::kRefuse, request)) << text;
  }
}

TEST(CodecTest, RefusesJsonThatIsNestedWithoutEnd) {
  testing::AddRequest request;
  std::string text;
  for (int i = 0; i < 100'000; ++i) {
    text += R"({"note":)";
  }
  EXPECT_FALSE(decode_message(Codec::kJson, text, UnknownFields::kIgnore, request));
  EXPECT_FALSE(
      decode_message(Codec::kJson, std::string(100'000, '['), UnknownFields::kIgnore, request));
}

TEST(CodecTest, RefusesUnknownFieldsOfARequestInBothForms) {
  testing::AddResponse wider;
  wider.set_sum(1);
  wider.set_note("field 2 is an integer in AddRequest");
  testing::FailRequest narrow;

  EXPECT_FALSE(
      decode_message(Codec::kProto, wider.SerializeAsString(), UnknownFields::kRefuse, narrow));
  EXPECT_FALSE(decode_message(Codec::kJson, R"({"no_such":1})", UnknownFields::kRefuse, narrow));
}

TEST(CodecTest, IgnoresUnknownFieldsOfAResponseInBothForms) {
  testing::AddRequest wider;
  wider.set_a(7);
  wider.set_note("n");
  testing::AddResponse narrow;

  EXPECT_TRUE(
      decode_message(Codec::kProto, wider.SerializeAsString(), UnknownFields::kIgnore, narrow));
  EXPECT_EQ(narrow.sum(), 7);
  narrow.Clear();
  EXPECT_TRUE(
      decode_message(Codec::kJson, R"({"sum":7,"no_such":1})", UnknownFields::kIgnore, narrow));
  EXPECT_EQ(narrow.sum(), 7);
}

TEST(CodecTest, RefusesBytesThatAreNoMessage) {
  testing::AddRequest request;
  EXPECT_FALSE(decode_message(Codec::kProto, "\x0a", UnknownFields::kRefuse, request));
}

}  // namespace
}  // namespace transport::rpc
