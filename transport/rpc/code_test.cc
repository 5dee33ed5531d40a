// SPDX-License-Identifier: Apache-2.0
#include "transport/rpc/code.h"

#include <gtest/gtest.h>

namespace transport::rpc {
namespace {

using base::ErrorCode;

constexpr Code kAllCodes[] = {
    Code::kCanceled,         Code::kUnknown,           Code::kInvalidArgument,
    Code::kDeadlineExceeded, Code::kNotFound,          Code::kAlreadyExists,
    Code::kPermissionDenied, Code::kResourceExhausted, Code::kFailedPrecondition,
    Code::kAborted,          Code::kOutOfRange,        Code::kUnimplemented,
    Code::kInternal,         Code::kUnavailable,       Code::kDataLoss,
    Code::kUnauthenticated};

TEST(CodeTest, HasTheNamesAndStatusesOfTheProtocol) {
  // Connect protocol reference, "Error codes".
  const std::pair<std::string_view, unsigned> expected[] = {{"canceled", 499},
                                                            {"unknown", 500},
                                                            {"invalid_argument", 400},
                                                            {"deadline_exceeded", 504},
                                                            {"not_found", 404},
                                                            {"already_exists", 409},
                                                            {"permission_denied", 403},
                                                            {"resource_exhausted", 429},
                                                            {"failed_precondition", 400},
                                                            {"aborted", 409},
                                                            {"out_of_range", 400},
                                                            {"unimplemented", 501},
                                                            {"internal", 500},
                                                            {"unavailable", 503},
                                                            {"data_loss", 500},
                                                            {"unauthenticated", 401}};
  for (std::size_t i = 0; i < std::size(kAllCodes); ++i) {
    EXPECT_EQ(name(kAllCodes[i]), expected[i].first);
    EXPECT_EQ(http_status(kAllCodes[i]), expected[i].second);
    EXPECT_EQ(code_named(expected[i].first), kAllCodes[i]);
  }
  EXPECT_EQ(code_named("no_such_code"), std::nullopt);
}

TEST(CodeTest, BringsEachErrorOfOursBackUnchanged) {
  for (const auto code :
       {ErrorCode::kInvalidArgument, ErrorCode::kNotFound, ErrorCode::kCorrupt,
        ErrorCode::kAuthentication, ErrorCode::kDenied, ErrorCode::kUnavailable, ErrorCode::kIo}) {
    EXPECT_EQ(error_code_of(code_of(code)), code) << base::name(code);
  }
}

TEST(CodeTest, SaysInTheMessageWhenToTryAgain) {
  const auto error = base_error({Code::kUnavailable, "too busy", std::chrono::seconds(7)});

  EXPECT_EQ(error.message, "too busy; try again in 7 s");
}

TEST(RetryAfterTest, IsANumberOfSecondsUpToADay) {
  EXPECT_EQ(parse_retry_after("0"), std::chrono::seconds(0));
  EXPECT_EQ(parse_retry_after("86400"), std::chrono::seconds(86'400));
  for (const auto* text :
       {"", "-1", "1 ", "1.5", "86401", "99999999999", "Wed, 21 Oct 2026 07:28:00 GMT"}) {
    EXPECT_FALSE(parse_retry_after(text)) << text;
  }
}

TEST(ErrorJsonTest, IsReadBack) {
  const RpcError error{Code::kNotFound, "no VM \"a\"\n"};

  const auto parsed = parse_error_json(404, error_json(error));

  EXPECT_EQ(parsed.code, Code::kNotFound);
  EXPECT_EQ(parsed.message, error.message);
}

TEST(ErrorJsonTest, PassesOverDetails) {
  const auto parsed = parse_error_json(
      400, R"({"code":"aborted","message":"m","details":[{"type":"t","value":"AA"}]})");

  EXPECT_EQ(parsed.code, Code::kAborted);
}

TEST(ErrorJsonTest, TakesTheCodeFromTheStatusWhenTheBodyIsNotConnects) {
  EXPECT_EQ(parse_error_json(404, "<html>").code, Code::kUnimplemented);
  EXPECT_EQ(parse_error_json(503, "").code, Code::kUnavailable);
  EXPECT_EQ(parse_error_json(401, "[]").code, Code::kUnauthenticated);
  EXPECT_EQ(parse_error_json(418, R"({"message":"no code"})").code, Code::kUnknown);
  EXPECT_EQ(parse_error_json(400, R"({"code":7})").code, Code::kInternal);
}

TEST(ErrorJsonTest, TakesAnUnknownCodeForUnknown) {
  EXPECT_EQ(parse_error_json(404, R"({"code":"later"})").code, Code::kUnknown);
}

TEST(EndJsonTest, SaysHowTheStreamEnded) {
  const auto well = parse_end_json(end_json(std::nullopt));
  ASSERT_TRUE(well);
  EXPECT_FALSE(*well);

  const auto badly = parse_end_json(end_json(RpcError{Code::kAborted, "why"}));
  ASSERT_TRUE(badly);
  ASSERT_TRUE(*badly);
  EXPECT_EQ((*badly)->code, Code::kAborted);
  EXPECT_EQ((*badly)->message, "why");
}

TEST(EndJsonTest, RefusesWhatIsNoEndMessage) {
  for (const auto* text : {"", "[]", "{", R"({"error":1})", R"({"error":{}})"}) {
    EXPECT_FALSE(parse_end_json(text)) << text;
  }
}

}  // namespace
}  // namespace transport::rpc
