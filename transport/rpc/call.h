// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/beast/http/message.hpp>
#include <boost/beast/http/string_body.hpp>
#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <tl/expected.hpp>

#include "transport/rpc/code.h"
#include "transport/rpc/codec.h"
#include "transport/rpc/service.h"

namespace transport::rpc {

namespace http = boost::beast::http;

using HttpRequest = http::request<http::string_body>;

// CallHead is what the header of a request says: which method, in which form, how long the caller
// waits.
struct CallHead {
  const Method* method = nullptr;
  ContentType type;
  std::optional<std::chrono::milliseconds> timeout;
  // The message of a GET stands in the request target; there is no body.
  std::optional<std::string> message_in_target;
};

// Refusal is the answer to a request that is no call of ours: an HTTP status, the error for its
// body, and up to one header. Where a stream was asked for, and can be spoken, the error travels
// in the stream's end message with status 200, as the protocol has it.
struct Refusal {
  // A call that failed: the status is the one that belongs to the error's code.
  explicit Refusal(RpcError failed, std::optional<ContentType> asked_for_stream = {});

  // What is not a call at all gets a status of HTTP's own.
  Refusal(http::status status, RpcError failed, http::field name = http::field::unknown,
          std::string value = {});

  unsigned http_status;
  RpcError error;
  std::optional<ContentType> stream;
  http::field header_name = http::field::unknown;
  std::string header_value;
};

// decode_head() judges the header of a request before any of its body is read. It is pure.
tl::expected<CallHead, Refusal> decode_head(const http::request_header<>& header,
                                            const Methods& methods);

// decode_request() makes the request message of a call out of the body that followed its head (or
// of the target, for a GET). A stream's body holds exactly one envelope, of at most
// `max_message_bytes`. It is pure.
tl::expected<MessagePtr, RpcError> decode_request(const CallHead& head, std::string_view body,
                                                  std::size_t max_message_bytes);

}  // namespace transport::rpc
