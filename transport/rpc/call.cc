// SPDX-License-Identifier: Apache-2.0
#include "transport/rpc/call.h"

#include <google/protobuf/stubs/strutil.h>

#include <algorithm>
#include <boost/beast/core/string.hpp>
#include <boost/url/parse.hpp>
#include <charconv>
#include <map>

#include "transport/rpc/envelope.h"

namespace transport::rpc {

namespace {

namespace urls = boost::urls;

std::string_view text(boost::beast::string_view view) { return {view.data(), view.size()}; }

tl::unexpected<Refusal> refuse(Code code, std::string message,
                               std::optional<ContentType> stream = {}) {
  return tl::unexpected<Refusal>(Refusal(RpcError{code, std::move(message)}, stream));
}

tl::unexpected<Refusal> refuse_http(http::status status, Code code, std::string message,
                                    http::field header_name = http::field::unknown,
                                    std::string header_value = {}) {
  return tl::unexpected<Refusal>(
      Refusal(status, RpcError{code, std::move(message)}, header_name, std::move(header_value)));
}

// Connect protocol, "Timeout": ASCII digits, at most 10.
std::optional<std::chrono::milliseconds> parse_timeout(std::string_view digits) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (digits.empty() || digits.size() > 10 || error != std::errc() ||
      end != digits.data() + digits.size() || value < 0) {
    return std::nullopt;
  }
  return std::chrono::milliseconds(value);
}

bool is_identity(std::string_view encoding) { return encoding.empty() || encoding == "identity"; }

std::string unsupported(std::string_view what, std::string_view value, std::string_view supported) {
  std::string message(what);
  message += " \"";
  message += value;
  message += "\" is not supported; supported: ";
  return message += supported;
}

// What POST and GET say alike: the time the caller waits.
tl::expected<void, Refusal> decode_timeout(const http::request_header<>& header, CallHead& head) {
  const auto field = header.find("Connect-Timeout-Ms");
  if (field == header.end()) {
    return {};
  }
  head.timeout = parse_timeout(text(field->value()));
  if (!head.timeout) {
    return refuse(Code::kInvalidArgument, "Connect-Timeout-Ms is not a number of 1 to 10 digits",
                  head.type.streaming ? std::optional(head.type) : std::nullopt);
  }
  return {};
}

tl::expected<CallHead, Refusal> decode_post(const http::request_header<>& header,
                                            const Method& method) {
  const bool streaming = method.stream != nullptr;
  const std::string accepted = streaming ? "application/connect+proto, application/connect+json"
                                         : "application/proto, application/json";
  const auto type = parse_content_type(text(header[http::field::content_type]));
  if (!type || type->streaming != streaming) {
    return refuse_http(
        http::status::unsupported_media_type, Code::kUnknown,
        unsupported("content type", text(header[http::field::content_type]), accepted),
        http::field::accept_post, accepted);
  }
  if (streaming && header.version() < 11) {
    return refuse_http(http::status::http_version_not_supported, Code::kUnknown,
                       "a stream needs HTTP/1.1");
  }
  CallHead head{&method, *type, {}, {}};
  const auto stream = streaming ? std::optional(*type) : std::nullopt;

  const auto version = text(header["Connect-Protocol-Version"]);
  if (!version.empty() && version != "1") {
    return refuse(Code::kInvalidArgument, unsupported("Connect-Protocol-Version", version, "1"),
                  stream);
  }
  const auto encoding = text(header[streaming ? "Connect-Content-Encoding" : "Content-Encoding"]);
  if (!is_identity(encoding)) {
    return refuse(Code::kUnimplemented, unsupported("compression", encoding, "identity"), stream);
  }
  if (auto timeout = decode_timeout(header, head); !timeout) {
    return tl::unexpected<Refusal>(std::move(timeout).error());
  }
  return head;
}

// Connect protocol, "Unary-Get-Request": the call stands in the query of the target.
tl::expected<CallHead, Refusal> decode_get(const http::request_header<>& header,
                                           const Method& method, const urls::url_view& target) {
  std::map<std::string, std::string> query;
  for (const auto& parameter : target.params()) {
    const urls::param decoded(parameter);
    if (!query.emplace(decoded.key, decoded.value).second) {
      return refuse(Code::kInvalidArgument, "query parameter " + decoded.key + " stands twice");
    }
  }
  if (query.contains("connect") && query["connect"] != "v1") {
    return refuse(Code::kInvalidArgument, unsupported("connect version", query["connect"], "v1"));
  }
  if (!is_identity(query["compression"])) {
    return refuse(Code::kUnimplemented,
                  unsupported("compression", query["compression"], "identity"));
  }
  CallHead head{&method, {}, {}, {}};
  if (query["encoding"] == "json") {
    head.type.codec = Codec::kJson;
  } else if (query["encoding"] != "proto") {
    return refuse_http(http::status::unsupported_media_type, Code::kUnknown,
                       unsupported("encoding", query["encoding"], "proto, json"));
  }
  if (!query.contains("message")) {
    return refuse(Code::kInvalidArgument, "query parameter message is missing");
  }
  head.message_in_target = query["message"];
  if (query["base64"] == "1") {
    std::string decoded;
    if (!google::protobuf::WebSafeBase64Unescape(*head.message_in_target, &decoded)) {
      return refuse(Code::kInvalidArgument, "query parameter message is not URL-safe base64");
    }
    head.message_in_target = std::move(decoded);
  }
  if (auto timeout = decode_timeout(header, head); !timeout) {
    return tl::unexpected<Refusal>(std::move(timeout).error());
  }
  return head;
}

}  // namespace

Refusal::Refusal(RpcError failed, std::optional<ContentType> asked_for_stream)
    : http_status(asked_for_stream ? 200 : rpc::http_status(failed.code)),
      error(std::move(failed)),
      stream(asked_for_stream) {
  if (error.retry_after) {
    header_name = http::field::retry_after;
    header_value = std::to_string(error.retry_after->count());
  }
}

Refusal::Refusal(http::status status, RpcError failed, http::field name, std::string value)
    : http_status(static_cast<unsigned>(status)),
      error(std::move(failed)),
      header_name(name),
      header_value(std::move(value)) {}

tl::expected<CallHead, Refusal> decode_head(const http::request_header<>& header,
                                            const Methods& methods) {
  const auto target = urls::parse_origin_form(text(header.target()));
  const Method* method = nullptr;
  if (target) {
    method = methods.find(text(target->encoded_path()));
  }
  if (method == nullptr) {
    return refuse_http(http::status::not_found, Code::kUnimplemented,
                       "there is no call at " + std::string(text(header.target())));
  }
  if (header.method() == http::verb::post) {
    return decode_post(header, *method);
  }
  const bool may_get = method->stream == nullptr && method->has_no_side_effects();
  if (header.method() == http::verb::get && may_get) {
    return decode_get(header, *method, *target);
  }
  const std::string allowed = may_get ? "GET, POST" : "POST";
  return refuse_http(http::status::method_not_allowed, Code::kUnknown,
                     unsupported("HTTP method", text(header.method_string()), allowed),
                     http::field::allow, allowed);
}

tl::expected<MessagePtr, RpcError> decode_request(const CallHead& head, std::string_view body,
                                                  std::size_t max_message_bytes) {
  std::string payload;
  if (head.message_in_target) {
    body = *head.message_in_target;
  }
  if (body.size() > max_message_bytes + (head.type.streaming ? Envelope::kHeaderBytes : 0)) {
    return tl::unexpected<RpcError>(RpcError{
        Code::kResourceExhausted,
        "the request exceeds the limit of " + std::to_string(max_message_bytes) + " bytes"});
  }
  if (head.type.streaming) {
    EnvelopeReader reader(max_message_bytes);
    reader.feed(body);
    auto envelope = reader.next();
    if (!envelope) {
      return tl::unexpected<RpcError>(rpc_error(std::move(envelope).error()));
    }
    if (!*envelope || (*envelope)->flags != 0 || reader.pending_bytes() != 0) {
      return tl::unexpected<RpcError>(
          RpcError{Code::kInvalidArgument, "the request is not one enveloped message"});
    }
    payload = std::move((*envelope)->payload);
    body = payload;
  }
  MessagePtr message(head.method->request_prototype->New());
  auto decoded = decode_message(head.type.codec, body, UnknownFields::kRefuse, *message);
  if (!decoded) {
    return tl::unexpected<RpcError>(rpc_error(std::move(decoded).error()));
  }
  return message;
}

}  // namespace transport::rpc
