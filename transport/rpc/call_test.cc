// SPDX-License-Identifier: Apache-2.0
#include "transport/rpc/call.h"

#include <gtest/gtest.h>

#include "transport/rpc/envelope.h"
#include "transport/rpc/testing.pb.h"

namespace transport::rpc {
namespace {

namespace testing = strongroom::rpc::testing;
using std::chrono::milliseconds;

const google::protobuf::ServiceDescriptor& calls() {
  return *testing::AddRequest::descriptor()->file()->FindServiceByName("Calls");
}

// A table whose handlers are never run: decoding does not look at them.
const Methods& table() {
  static const Methods methods = [] {
    Methods made;
    const UnaryHandler<testing::AddRequest, testing::AddResponse> unary =
        [](testing::AddRequest,
           CallContext) -> asio::awaitable<base::Result<testing::AddResponse>> {
      co_return testing::AddResponse();
    };
    const StreamHandler<testing::AddRequest, testing::AddResponse> stream =
        [](testing::AddRequest, CallContext,
           Sink<testing::AddResponse>) -> asio::awaitable<base::Result<void>> {
      co_return base::Result<void>{};
    };
    made.unary(calls(), "Add", unary);
    made.unary(calls(), "Change", unary);
    made.stream(calls(), "Count", stream);
    return made;
  }();
  return methods;
}

// A request that decodes. Each test spoils one thing about it.
HttpRequest post_add() {
  HttpRequest request(http::verb::post, "/strongroom.rpc.testing.Calls/Add", 11);
  request.set(http::field::content_type, "application/json");
  request.set("Connect-Protocol-Version", "1");
  request.body() = R"({"a":"1","b":2})";
  return request;
}

HttpRequest get_add(const std::string& query) {
  return {http::verb::get, "/strongroom.rpc.testing.Calls/Add?" + query, 11};
}

HttpRequest post_count() {
  auto request = post_add();
  request.target("/strongroom.rpc.testing.Calls/Count");
  request.set(http::field::content_type, "application/connect+json");
  request.body() = wrap({0, R"({"a":1})"});
  return request;
}

TEST(MethodsTest, NamesTheMethodsWithoutAHandler) {
  EXPECT_EQ(table().missing(calls()), "Fail, Hold, Release");
}

TEST(DecodeHeadTest, AcceptsAPost) {
  const auto head = decode_head(post_add(), table());

  ASSERT_TRUE(head);
  EXPECT_EQ(head->method->descriptor->name(), "Add");
  EXPECT_EQ(head->type, (ContentType{Codec::kJson, false}));
  EXPECT_EQ(head->timeout, std::nullopt);
}

TEST(DecodeHeadTest, DoesWithoutTheProtocolVersion) {
  auto request = post_add();
  request.erase("Connect-Protocol-Version");

  EXPECT_TRUE(decode_head(request, table()));
}

TEST(DecodeHeadTest, RefusesAnotherProtocolVersion) {
  auto request = post_add();
  request.set("Connect-Protocol-Version", "2");

  const auto head = decode_head(request, table());

  ASSERT_FALSE(head);
  EXPECT_EQ(head.error().http_status, 400U);
  EXPECT_EQ(head.error().error.code, Code::kInvalidArgument);
}

TEST(DecodeHeadTest, AnswersAnUnknownPathWith404AndUnimplemented) {
  for (const auto* target :
       {"/", "/strongroom.rpc.testing.Calls/No", "*", "", "//", "http://x/y",
        "/strongroom.rpc.testing.Calls/Add/", "/strongroom.rpc.testing.Calls/%41dd"}) {
    auto request = post_add();
    request.target(target);

    const auto head = decode_head(request, table());

    ASSERT_FALSE(head) << target;
    EXPECT_EQ(head.error().http_status, 404U) << target;
    EXPECT_EQ(head.error().error.code, Code::kUnimplemented) << target;
  }
}

TEST(DecodeHeadTest, RefusesOtherContentTypesWith415AndSaysWhichItTakes) {
  for (const auto* type : {"text/plain", "application/grpc", "application/connect+json", ""}) {
    auto request = post_add();
    request.set(http::field::content_type, type);

    const auto head = decode_head(request, table());

    ASSERT_FALSE(head) << type;
    EXPECT_EQ(head.error().http_status, 415U) << type;
    EXPECT_EQ(head.error().header_value, "application/proto, application/json");
  }
}

TEST(DecodeHeadTest, RefusesAUnaryContentTypeForAStream) {
  auto request = post_count();
  request.set(http::field::content_type, "application/json");

  const auto head = decode_head(request, table());

  ASSERT_FALSE(head);
  EXPECT_EQ(head.error().http_status, 415U);
  EXPECT_EQ(head.error().header_value, "application/connect+proto, application/connect+json");
}

TEST(DecodeHeadTest, RefusesAStreamOverHttp10WhichHasNoChunks) {
  auto request = post_count();
  request.version(10);

  const auto head = decode_head(request, table());

  ASSERT_FALSE(head);
  EXPECT_EQ(head.error().http_status, 505U);
}

TEST(DecodeHeadTest, ReadsTheTimeout) {
  auto request = post_add();
  request.set("Connect-Timeout-Ms", "9999999999");

  const auto head = decode_head(request, table());

  ASSERT_TRUE(head);
  EXPECT_EQ(head->timeout, milliseconds(9999999999));
}

TEST(DecodeHeadTest, RefusesATimeoutThatIsNoNumberOfTenDigits) {
  for (const auto* timeout : {"", "-1", "+1", "1.5", "1x", "10000000000", "x"}) {
    auto request = post_add();
    request.set("Connect-Timeout-Ms", timeout);

    const auto head = decode_head(request, table());

    ASSERT_FALSE(head) << timeout;
    EXPECT_EQ(head.error().error.code, Code::kInvalidArgument);
  }
}

TEST(DecodeHeadTest, RefusesCompressionItDoesNotHave) {
  auto request = post_add();
  request.set(http::field::content_encoding, "gzip");

  const auto head = decode_head(request, table());

  ASSERT_FALSE(head);
  EXPECT_EQ(head.error().error.code, Code::kUnimplemented);
  EXPECT_NE(head.error().error.message.find("identity"), std::string::npos);
}

TEST(DecodeHeadTest, TakesIdentityForNoCompression) {
  auto request = post_add();
  request.set(http::field::content_encoding, "identity");

  EXPECT_TRUE(decode_head(request, table()));
}

TEST(DecodeHeadTest, RefusesAStreamInsideTheStream) {
  auto request = post_count();
  request.set("Connect-Content-Encoding", "gzip");

  const auto head = decode_head(request, table());

  ASSERT_FALSE(head);
  EXPECT_EQ(head.error().http_status, 200U);
  EXPECT_EQ(head.error().stream, (ContentType{Codec::kJson, true}));
}

TEST(DecodeHeadTest, AllowsGetOnlyForCallsWithoutSideEffects) {
  auto request = get_add("encoding=json&message=%7B%7D");
  request.target("/strongroom.rpc.testing.Calls/Change?encoding=json&message=%7B%7D");

  const auto head = decode_head(request, table());

  ASSERT_FALSE(head);
  EXPECT_EQ(head.error().http_status, 405U);
  EXPECT_EQ(head.error().header_value, "POST");
}

TEST(DecodeHeadTest, RefusesOtherHttpMethods) {
  auto request = post_add();
  request.method(http::verb::put);

  const auto head = decode_head(request, table());

  ASSERT_FALSE(head);
  EXPECT_EQ(head.error().http_status, 405U);
  EXPECT_EQ(head.error().header_value, "GET, POST");
}

TEST(DecodeHeadTest, ReadsAGet) {
  const auto head = decode_head(
      get_add("connect=v1&encoding=json&message=%7B%22a%22%3A1%2C%22note%22%3A%22x+y%22%7D"),
      table());

  ASSERT_TRUE(head);
  EXPECT_EQ(head->message_in_target, R"({"a":1,"note":"x y"})");
}

TEST(DecodeHeadTest, ReadsAGetInUrlSafeBase64WithAndWithoutPadding) {
  testing::AddRequest sent;
  sent.set_a(-1);
  sent.set_note("\x3f\x3e");
  const auto head =
      decode_head(get_add("encoding=proto&base64=1&message=CP___________wEaAj8-"), table());

  ASSERT_TRUE(head);
  EXPECT_EQ(head->message_in_target, sent.SerializeAsString());
  EXPECT_TRUE(decode_head(get_add("encoding=proto&base64=1&message=CAE"), table()));
  EXPECT_TRUE(decode_head(get_add("encoding=proto&base64=1&message=CAE%3D"), table()));
}

TEST(DecodeHeadTest, RefusesAGetThatLacksOrRepeatsAParameter) {
  for (const auto* query :
       {"", "encoding=json", "message=%7B%7D", "encoding=xml&message=%7B%7D",
        "encoding=json&encoding=json&message=%7B%7D", "encoding=json&base64=1&message=!!",
        "encoding=json&connect=v2&message=%7B%7D",
        "encoding=json&compression=gzip&message=%7B%7D"}) {
    EXPECT_FALSE(decode_head(get_add(query), table())) << query;
  }
}

TEST(DecodeRequestTest, MakesTheMessage) {
  const auto request = post_add();
  const auto head = decode_head(request, table());
  ASSERT_TRUE(head);

  const auto message = decode_request(*head, request.body(), 100);

  ASSERT_TRUE(message);
  EXPECT_EQ(static_cast<const testing::AddRequest&>(**message).a(), 1);
}

TEST(DecodeRequestTest, RefusesMoreThanTheLimit) {
  const auto request = post_add();
  const auto head = decode_head(request, table());
  ASSERT_TRUE(head);

  const auto message = decode_request(*head, request.body(), request.body().size() - 1);

  ASSERT_FALSE(message);
  EXPECT_EQ(message.error().code, Code::kResourceExhausted);
  EXPECT_TRUE(decode_request(*head, request.body(), request.body().size()));
}

TEST(DecodeRequestTest, TakesExactlyOneEnvelopeForAStream) {
  const auto head = decode_head(post_count(), table());
  ASSERT_TRUE(head);
  const auto one = wrap({0, "{}"});

  EXPECT_TRUE(decode_request(*head, one, 100));
  EXPECT_FALSE(decode_request(*head, "", 100));
  EXPECT_FALSE(decode_request(*head, one + one, 100));
  EXPECT_FALSE(decode_request(*head, one.substr(0, one.size() - 1), 100));
  EXPECT_FALSE(decode_request(*head, one + "x", 100));
  EXPECT_FALSE(decode_request(*head, wrap({Envelope::kEndStream, "{}"}), 100));
}

}  // namespace
}  // namespace transport::rpc
