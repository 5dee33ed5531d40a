// SPDX-License-Identifier: Apache-2.0
#include "transport/rpc/code.h"

#include <array>
#include <boost/json.hpp>
#include <charconv>
#include <cstdint>

namespace transport::rpc {

namespace {

using base::ErrorCode;
namespace json = boost::json;

struct CodeRow {
  Code code;
  std::string_view name;
  unsigned http_status;
};

// Connect protocol reference, "Error codes".
constexpr std::array<CodeRow, 16> kCodes = {{
    {Code::kCanceled, "canceled", 499},
    {Code::kUnknown, "unknown", 500},
    {Code::kInvalidArgument, "invalid_argument", 400},
    {Code::kDeadlineExceeded, "deadline_exceeded", 504},
    {Code::kNotFound, "not_found", 404},
    {Code::kAlreadyExists, "already_exists", 409},
    {Code::kPermissionDenied, "permission_denied", 403},
    {Code::kResourceExhausted, "resource_exhausted", 429},
    {Code::kFailedPrecondition, "failed_precondition", 400},
    {Code::kAborted, "aborted", 409},
    {Code::kOutOfRange, "out_of_range", 400},
    {Code::kUnimplemented, "unimplemented", 501},
    {Code::kInternal, "internal", 500},
    {Code::kUnavailable, "unavailable", 503},
    {Code::kDataLoss, "data_loss", 500},
    {Code::kUnauthenticated, "unauthenticated", 401},
}};

const CodeRow& row(Code code) { return kCodes.at(static_cast<std::size_t>(code)); }

json::object error_object(const RpcError& error) {
  json::object object;
  object["code"] = name(error.code);
  object["message"] = error.message;
  return object;
}

std::optional<RpcError> error_in(const json::value& value) {
  const auto* object = value.if_object();
  if (object == nullptr) {
    return std::nullopt;
  }
  const auto* code = object->if_contains("code");
  if (code == nullptr || !code->is_string()) {
    return std::nullopt;
  }
  // A code of a later version of the protocol is an error all the same.
  RpcError error{code_named(code->get_string()).value_or(Code::kUnknown), ""};
  if (const auto* message = object->if_contains("message");
      message != nullptr && message->is_string()) {
    error.message = message->get_string();
  }
  return error;
}

}  // namespace

std::string_view name(Code code) { return row(code).name; }

std::optional<Code> code_named(std::string_view name) {
  for (const auto& candidate : kCodes) {
    if (candidate.name == name) {
      return candidate.code;
    }
  }
  return std::nullopt;
}

unsigned http_status(Code code) { return row(code).http_status; }

Code code_of_http_status(unsigned status) {
  switch (status) {
    case 400:
      return Code::kInternal;
    case 401:
      return Code::kUnauthenticated;
    case 403:
      return Code::kPermissionDenied;
    case 404:
      return Code::kUnimplemented;
    case 429:
    case 502:
    case 503:
    case 504:
      return Code::kUnavailable;
    default:
      return Code::kUnknown;
  }
}

Code code_of(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInvalidArgument:
      return Code::kInvalidArgument;
    case ErrorCode::kNotFound:
      return Code::kNotFound;
    case ErrorCode::kCorrupt:
      return Code::kDataLoss;
    case ErrorCode::kAuthentication:
      return Code::kUnauthenticated;
    case ErrorCode::kDenied:
      return Code::kFailedPrecondition;
    case ErrorCode::kUnavailable:
      return Code::kUnavailable;
    case ErrorCode::kIo:
      return Code::kInternal;
  }
  return Code::kUnknown;
}

ErrorCode error_code_of(Code code) {
  switch (code) {
    case Code::kInvalidArgument:
    case Code::kOutOfRange:
    case Code::kUnimplemented:
      return ErrorCode::kInvalidArgument;
    case Code::kNotFound:
      return ErrorCode::kNotFound;
    case Code::kDataLoss:
      return ErrorCode::kCorrupt;
    case Code::kUnauthenticated:
      return ErrorCode::kAuthentication;
    case Code::kAlreadyExists:
    case Code::kPermissionDenied:
    case Code::kFailedPrecondition:
      return ErrorCode::kDenied;
    case Code::kCanceled:
    case Code::kDeadlineExceeded:
    case Code::kResourceExhausted:
    case Code::kAborted:
    case Code::kUnavailable:
      return ErrorCode::kUnavailable;
    case Code::kInternal:
    case Code::kUnknown:
      return ErrorCode::kIo;
  }
  return ErrorCode::kIo;
}

RpcError rpc_error(base::Error error) { return {code_of(error.code), std::move(error.message)}; }

base::Error base_error(RpcError error) {
  if (error.retry_after) {
    error.message += "; try again in " + std::to_string(error.retry_after->count()) + " s";
  }
  return {error_code_of(error.code), std::move(error.message)};
}

std::optional<std::chrono::seconds> parse_retry_after(std::string_view header) {
  std::uint32_t seconds = 0;
  const char* const end = header.data() + header.size();
  const auto [stopped, error] = std::from_chars(header.data(), end, seconds);
  if (error != std::errc() || stopped != end || seconds > 86'400) {
    return std::nullopt;
  }
  return std::chrono::seconds(seconds);
}

std::string error_json(const RpcError& error) { return json::serialize(error_object(error)); }

RpcError parse_error_json(unsigned status, std::string_view text) {
  json::error_code invalid;
  const auto value = json::parse(text, invalid);
  if (!invalid) {
    if (auto error = error_in(value)) {
      return *std::move(error);
    }
  }
  return {code_of_http_status(status), "HTTP status " + std::to_string(status)};
}

std::string end_json(const std::optional<RpcError>& error) {
  json::object object;
  if (error) {
    object["error"] = error_object(*error);
  }
  return json::serialize(object);
}

base::Result<std::optional<RpcError>> parse_end_json(std::string_view text) {
  json::error_code invalid;
  const auto value = json::parse(text, invalid);
  if (invalid || !value.is_object()) {
    return base::fail(ErrorCode::kCorrupt, "the stream's end message is not a JSON object");
  }
  const auto* error = value.get_object().if_contains("error");
  if (error == nullptr) {
    return std::optional<RpcError>();
  }
  auto parsed = error_in(*error);
  if (!parsed) {
    return base::fail(ErrorCode::kCorrupt, "the stream's end message has an error without a code");
  }
  return parsed;
}

}  // namespace transport::rpc
