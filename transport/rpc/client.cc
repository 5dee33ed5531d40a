// SPDX-License-Identifier: Apache-2.0
#include "transport/rpc/client.h"

#include <array>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
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
using Socket = asio::local::stream_protocol::socket;

// What a service may answer at most. It bounds memory, not what services do.
constexpr std::size_t kMaxResponseBytes = std::size_t{64} << 20;

http::request<http::string_body> request_for(const google::protobuf::MethodDescriptor& method,
                                             ContentType type, std::string body,
                                             Client::Timeout timeout) {
  http::request<http::string_body> request;
  request.method(http::verb::post);
  request.target("/" + method.service()->full_name() + "/" + method.name());
  request.version(11);
  request.set(http::field::host, "localhost");
  const auto content_type = header_of(type);
  request.set(http::field::content_type, {content_type.data(), content_type.size()});
  request.set("Connect-Protocol-Version", "1");
  if (timeout) {
    request.set("Connect-Timeout-Ms", std::to_string(timeout->count()));
  }
  request.keep_alive(false);
  request.body() = std::move(body);
  request.prepare_payload();
  return request;
}

base::Error broke_off(error_code error) {
  return {ErrorCode::kUnavailable, "the service went away during the call: " + error.message()};
}

// Steps of a call. References are to the awaiting frame's variables.
asio::awaitable<base::Result<void>> send_request(Socket& socket, std::string path,
                                                 http::request<http::string_body>& request) {
  if (path.size() >= 108) {
    co_return base::fail(ErrorCode::kInvalidArgument, "socket path is too long: " + path);
  }
  const auto [unconnected] =
      co_await socket.async_connect(asio::local::stream_protocol::endpoint(path), as_values);
  if (unconnected == asio::error::access_denied) {
    co_return base::fail(ErrorCode::kDenied,
                         "this user may not connect to " + path + ": " + unconnected.message());
  }
  if (unconnected) {
    co_return base::fail(ErrorCode::kUnavailable,
                         "no service answers at " + path + ": " + unconnected.message() +
                             "; start it, or name the socket where it listens");
  }
  const auto [unsent, bytes] = co_await http::async_write(socket, request, as_values);
  // A service that refuses early answers before it has read all; the answer says more.
  if (unsent && unsent != asio::error::broken_pipe) {
    co_return base::fail(broke_off(unsent));
  }
  co_return base::Result<void>{};
}

asio::awaitable<base::Result<http::response<http::string_body>>> exchange(
    std::string path, http::request<http::string_body> request) {
  Socket socket(co_await asio::this_coro::executor);
  auto sent = co_await send_request(socket, std::move(path), request);
  CO_TRY(std::move(sent));
  boost::beast::flat_buffer received;
  http::response_parser<http::string_body> parser;
  parser.body_limit(kMaxResponseBytes);
  const auto [error, bytes] = co_await http::async_read(socket, received, parser, as_values);
  if (error) {
    co_return base::fail(broke_off(error));
  }
  co_return parser.release();
}

// One stream, from the request to its end message.
class StreamReader {
 public:
  StreamReader(Codec codec, google::protobuf::Message& response, std::function<bool()> take)
      : codec_(codec), response_(response), take_(std::move(take)), envelopes_(kMaxResponseBytes) {}

  asio::awaitable<base::Result<void>> run(std::string path,
                                          http::request<http::string_body> request);

 private:
  // take_all() handles what has arrived: true once the stream is over.
  base::Result<bool> take_all();
  asio::awaitable<base::Result<void>> read_refusal(Socket& socket,
                                                   boost::beast::flat_buffer& received,
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
    Socket& socket, boost::beast::flat_buffer& received,
    http::response_parser<http::buffer_body>& head) {
  const auto status = head.get().result_int();
  http::response_parser<http::string_body> parser(std::move(head));
  parser.body_limit(kMaxResponseBytes);
  const auto [error, bytes] = co_await http::async_read(socket, received, parser, as_values);
  co_return base::fail(base_error(parse_error_json(status, error ? "" : parser.get().body())));
}

asio::awaitable<base::Result<void>> StreamReader::run(std::string path,
                                                      http::request<http::string_body> request) {
  Socket socket(co_await asio::this_coro::executor);
  auto sent = co_await send_request(socket, std::move(path), request);
  CO_TRY(std::move(sent));
  boost::beast::flat_buffer received;
  http::response_parser<http::buffer_body> parser;
  // A stream has no end of its own; each envelope has a limit.
  parser.body_limit(boost::none);
  const auto [no_header, header_bytes] =
      co_await http::async_read_header(socket, received, parser, as_values);
  if (no_header) {
    co_return base::fail(broke_off(no_header));
  }
  if (parser.get().result() != http::status::ok) {
    auto refused = co_await read_refusal(socket, received, parser);
    co_return refused;
  }
  std::array<char, 16384> piece;
  while (!parser.is_done()) {
    parser.get().body().data = piece.data();
    parser.get().body().size = piece.size();
    const auto [error, bytes] = co_await http::async_read_some(socket, received, parser, as_values);
    if (error && error != http::error::need_buffer) {
      co_return base::fail(broke_off(error));
    }
    envelopes_.feed({piece.data(), piece.size() - parser.get().body().size});
    auto taken = take_all();
    CO_TRY_ASSIGN(over, std::move(taken));
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

asio::awaitable<base::Result<void>> Client::call_message(std::string method,
                                                         const google::protobuf::Message& request,
                                                         google::protobuf::Message& response,
                                                         Timeout timeout) const {
  const ContentType type{Codec::kProto, false};
  auto encoded = encode_message(type.codec, request);
  CO_TRY_ASSIGN(body, std::move(encoded));
  const auto& descriptor = *service_.FindMethodByName(method);
  auto exchanged = co_await in_time(
      timeout, exchange(socket_path_, request_for(descriptor, type, std::move(body), timeout)));
  CO_TRY_ASSIGN(answer, std::move(exchanged));
  if (answer.result() != http::status::ok) {
    co_return base::fail(base_error(parse_error_json(answer.result_int(), answer.body())));
  }
  co_return decode_message(type.codec, answer.body(), UnknownFields::kIgnore, response);
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
      reader.run(socket_path_, request_for(descriptor, type, std::move(enveloped), timeout)));
  co_return ended;
}

}  // namespace transport::rpc
