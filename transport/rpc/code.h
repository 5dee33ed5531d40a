// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "vmgs/base/result.h"

namespace transport::rpc {

// Code is the outcome of a call that failed, as the Connect protocol names it ("Error codes").
enum class Code {
  kCanceled,
  kUnknown,
  kInvalidArgument,
  kDeadlineExceeded,
  kNotFound,
  kAlreadyExists,
  kPermissionDenied,
  kResourceExhausted,
  kFailedPrecondition,
  kAborted,
  kOutOfRange,
  kUnimplemented,
  kInternal,
  kUnavailable,
  kDataLoss,
  kUnauthenticated,
};

// name() is the code as the protocol spells it.
std::string_view name(Code code);

// code_named() is the inverse; nothing for a word that is no code.
std::optional<Code> code_named(std::string_view name);

// http_status() is the status that the protocol prescribes for a unary error.
unsigned http_status(Code code);

// code_of_http_status() is what a client makes of an error whose body is not Connect's.
Code code_of_http_status(unsigned status);

// code_of() and error_code_of() translate between our errors and the protocol's. What code_of()
// makes of one of ours, error_code_of() turns back into the same.
Code code_of(base::ErrorCode code);
base::ErrorCode error_code_of(Code code);

// RpcError is a failed call: what goes over the wire.
struct RpcError {
  Code code;
  std::string message;
  // How long a service that has too much to do asks its caller to stay away. It did nothing of what
  // it was asked. It goes over the wire as a Retry-After header.
  std::optional<std::chrono::seconds> retry_after{};
};

// rpc_error() and base_error() translate as code_of() and error_code_of() do. A message says when
// to try again, if the error does.
RpcError rpc_error(base::Error error);
base::Error base_error(RpcError error);

// parse_retry_after() reads the header of that name in seconds, at most a day; nothing for another
// form.
std::optional<std::chrono::seconds> parse_retry_after(std::string_view header);

// error_json() is the body of a unary error: {"code": ..., "message": ...}.
std::string error_json(const RpcError& error);

// parse_error_json() reads such a body. Details, which the protocol allows, are passed over. Text
// that is no such body gives the code that the HTTP status stands for.
RpcError parse_error_json(unsigned status, std::string_view text);

// end_json() is the last message of a stream, with the error if it failed.
std::string end_json(const std::optional<RpcError>& error);

// parse_end_json() reads one: the error it carries, nothing if the stream ended well. kCorrupt if
// it is not JSON of that form.
base::Result<std::optional<RpcError>> parse_end_json(std::string_view text);

}  // namespace transport::rpc
