// SPDX-License-Identifier: Apache-2.0
#include "transport/rpc/client.h"

#include <algorithm>
#include <array>
#include <boost/beast/http/buffer_body.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>

#include "transport/rpc/code.h"
#include "transport/rpc/codec.h"
#include "transport/rpc/envelope.h"
#include "transport/rpc/within.h"

namespace transport::rpc {

namespace {

namespace http = boost::beast::http;
using base::ErrorCode;
using boost::system::error_code;
using Clock = std::chrono::steady_clock;

// What a service may answer at most. It bounds memory, not what services do.
constexpr std::size_t kMaxResponseBytes = std::size_t{64} << 20;

// How long a service may take to be reached by a caller who names no time.
constexpr std::chrono::seconds kConnectLimit{30};

// A call's time, which begins before the service is reached.
struct Time {
  explicit Time(Client::Timeout given) : timeout(given) {
    if (timeout) {
      deadline = Clock::now() + *timeout;
    }
  }

  [[nodiscard]] Clock::time_point to_connect() const {
    return timeout ? deadline : Clock::now() + kConnectLimit;
  }

  // What is left of it, which the service is told; at least one millisecond.
  [[nodiscard]] std::optional<std::chrono::milliseconds> left() const {
    if (!timeout) {
      return std::nullopt;
    }
    const auto rest =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now());
    return std::max(rest, std::chrono::milliseconds(1));
  }

  Client::Timeout timeout;
  Clock::time_point deadline;
};

http::request<http::string_body> request_for(const google::protobuf::MethodDescriptor& method,
                                             ContentType type, std::string body) {
  http::request<http::string_body> request;
  request.method(http::verb::post);
  request.target("/" + method.service()->full_name() + "/" + method.name());
  request.version(11);
  const auto content_type = header_of(type);
  request.set(http::field::content_type, {content_type.data(), content_type.size()});
  request.set("Connect-Protocol-Version", "1");
  request.body() = std::move(body);
  request.prepare_payload();
  return request;
}

base::Error broke_off(const error_code& error) {
  auto explained = tls::explain(error);
  if (explained.code == ErrorCode::kAuthentication) {
    return explained;
  }
  return {ErrorCode::kUnavailable, "the service went away during the call: " + explained.message};
}

// Steps of a call. References are to the awaiting frame's variables.
asio::awaitable<error_code> send_request(Line& line, http::request<http::string_body>& request,
                                         const Time& time) {
  request.set(http::field::host, line.host);
  if (const auto left = time.left()) {
    request.set("Connect-Timeout-Ms", std::to_string(left->count()));
  }
  const auto [error, bytes] = co_await http::async_write(*line.stream, request, as_values);
  co_return error;
}

asio::awaitable<base::Result<http::response<http::string_body>>> exchange(
    std::shared_ptr<Lines> lines, http::request<http::string_body> request, Time time) {
  auto taken = co_await lines->take(time.to_connect());
  CO_TRY_ASSIGN(line, std::move(taken));
  request.keep_alive(lines->keeps());
  const auto unsent = co_await send_request(line, request, time);
  http::response_parser<http::string_body> parser;
  parser.body_limit(kMaxResponseBytes);
  // A service that refuses early answers before it has read all; the answer says more.
  const auto [unread, bytes] =
      co_await http::async_read(*line.stream, line.received, parser, as_values);
  if (unread) {
    co_return base::fail(
        broke_off(unsent && !parser.got_some() && !tls::is_refusal(unread) ? unsent : unread));
  }
  if (lines->keeps() && !unsent && parser.keep_alive() && line.received.size() == 0) {
    lines->keep(std::move(line));
  }
  co_return parser.release();
}

// One stream, from the request to its end message.
class StreamReader {
 public:
  StreamReader(Codec codec, google::protobuf::Message& response, std::function<bool()> take)
      : codec_(codec), response_(response), take_(std::move(take)), envelopes_(kMaxResponseBytes) {}

  asio::awaitable<base::Result<void>> run(std::shared_ptr<Lines> lines,
                                          http::request<http::string_body> request, Time time);

 private:
  // take_all() handles what has arrived: true once the stream is over.
  base::Result<bool> take_all();
  asio::awaitable<base::Result<void>> read_refusal(Line& line,
                                                   http::response_parser<http::buffer_body>& head);

  Codec codec_;
  google::protobuf::Message& response_;
  std::function<bool()> take_;
  EnvelopeReader envelopes_;
};

base::Result<bool> StreamReader::take_all() {
  for (;;) {
    TRY_ASSIGN(envelope, envelopes_.next());
    if (!envelope) {
      return false;
    }
    if ((envelope->flags & Envelope::kEndStream) != 0) {
      TRY_ASSIGN(failed, parse_end_json(envelope->payload));
      if (failed) {
        return base::fail(base_error(*std::move(failed)));
      }
      return true;
    }
    response_.Clear();
    TRY(decode_message(codec_, envelope->payload, UnknownFields::kIgnore, response_));
    if (!take_()) {
      return true;
    }
  }
}

asio::awaitable<base::Result<void>> StreamReader::read_refusal(
    Line& line, http::response_parser<http::buffer_body>& head) {
  const auto status = head.get().result_int();
  http::response_parser<http::string_body> parser(std::move(head));
  parser.body_limit(kMaxResponseBytes);
  const auto [error, bytes] =
      co_await http::async_read(*line.stream, line.received, parser, as_values);
  co_return base::fail(base_error(parse_error_json(status, error ? "" : parser.get().body())));
}

asio::awaitable<base::Result<void>> StreamReader::run(std::shared_ptr<Lines> lines,
                                                      http::request<http::string_body> request,
                                                      Time time) {
  auto taken = co_await lines->take(time.to_connect());
  CO_TRY_ASSIGN(line, std::move(taken));
  request.keep_alive(false);
  // As with unary calls, what is read says more than what could not be written.
  co_await send_request(line, request, time);
  http::response_parser<http::buffer_body> parser;
  // A stream has no end of its own; each envelope has a limit.
  parser.body_limit(boost::none);
  const auto [no_header, header_bytes] =
      co_await http::async_read_header(*line.stream, line.received, parser, as_values);
  if (no_header) {
    co_return base::fail(broke_off(no_header));
  }
  if (parser.get().result() != http::status::ok) {
    auto refused = co_await read_refusal(line, parser);
    co_return refused;
  }
  std::array<char, 16384> piece;
  while (!parser.is_done()) {
    parser.get().body().data = piece.data();
    parser.get().body().size = piece.size();
    const auto [error, bytes] =
        co_await http::async_read_some(*line.stream, line.received, parser, as_values);
    if (error && error != http::error::need_buffer) {
      co_return base::fail(broke_off(error));
    }
    envelopes_.feed({piece.data(), piece.size() - parser.get().body().size});
    auto heard = take_all();
    CO_TRY_ASSIGN(over, std::move(heard));
    if (over) {
      co_return base::Result<void>{};
    }
  }
  co_return base::fail(ErrorCode::kUnavailable, "the stream broke off without its end message");
}

template <typename T>
asio::awaitable<base::Result<T>> in_time(Client::Timeout timeout,
                                         asio::awaitable<base::Result<T>> operation) {
  if (!timeout) {
    auto ended = co_await std::move(operation);
    co_return ended;
  }
  auto ended = co_await within(*timeout, std::move(operation));
  if (!ended) {
    co_return base::fail(ErrorCode::kUnavailable, "the service did not answer within " +
                                                      std::to_string(timeout->count()) + " ms");
  }
  co_return *std::move(ended);
}

}  // namespace

asio::awaitable<tl::expected<void, RpcError>> Client::call_message(
    std::string method, const google::protobuf::Message& request,
    google::protobuf::Message& response, Timeout timeout) const {
  const auto failed = [](base::Error error) {
    return tl::unexpected<RpcError>(rpc_error(std::move(error)));
  };
  const ContentType type{Codec::kProto, false};
  auto body = encode_message(type.codec, request);
  if (!body) {
    co_return failed(std::move(body).error());
  }
  const auto& descriptor = *service_.FindMethodByName(method);
  auto answer = co_await in_time(
      timeout, exchange(lines_, request_for(descriptor, type, *std::move(body)), Time(timeout)));
  if (!answer) {
    co_return failed(std::move(answer).error());
  }
  if (answer->result() != http::status::ok) {
    auto error = parse_error_json(answer->result_int(), answer->body());
    const auto after = (*answer)[http::field::retry_after];
    error.retry_after = parse_retry_after({after.data(), after.size()});
    co_return tl::unexpected<RpcError>(std::move(error));
  }
  auto decoded = decode_message(type.codec, answer->body(), UnknownFields::kIgnore, response);
  if (!decoded) {
    co_return failed(std::move(decoded).error());
  }
  co_return tl::expected<void, RpcError>{};
}

asio::awaitable<base::Result<void>> Client::watch_messages(std::string method,
                                                           const google::protobuf::Message& request,
                                                           google::protobuf::Message& response,
                                                           std::function<bool()> take,
                                                           Timeout timeout) const {
  const ContentType type{Codec::kProto, true};
  auto encoded = encode_message(type.codec, request);
  CO_TRY_ASSIGN(body, std::move(encoded));
  const auto& descriptor = *service_.FindMethodByName(method);
  auto enveloped = wrap({0, std::move(body)});
  StreamReader reader(type.codec, response, std::move(take));
  auto ended = co_await in_time(
      timeout,
      reader.run(lines_, request_for(descriptor, type, std::move(enveloped)), Time(timeout)));
  co_return ended;
}

}  // namespace transport::rpc
