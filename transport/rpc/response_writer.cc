// SPDX-License-Identifier: Apache-2.0
#include "transport/rpc/response_writer.h"

#include <boost/asio/write.hpp>
#include <boost/beast/http/chunk_encode.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/serializer.hpp>
#include <boost/beast/http/write.hpp>
#include <sstream>

#include "transport/rpc/envelope.h"
#include "transport/rpc/within.h"

namespace transport::rpc {

// GCC 12 destroys an aggregate twice if it is a temporary in the expression of a co_await, so here
// such arguments have names.
namespace {

using boost::system::error_code;

// One operation on the stream, as a coroutine that a deadline can be put on. References are to the
// awaiting frame's variables, which live as long as the operation.
asio::awaitable<error_code> write_all(tls::Stream& stream, const std::string& bytes) {
  const auto [error, written] = co_await asio::async_write(stream, asio::buffer(bytes), as_values);
  co_return error;
}

asio::awaitable<error_code> write_response(tls::Stream& stream,
                                           http::response<http::string_body>& response) {
  const auto [error, bytes] = co_await http::async_write(stream, response, as_values);
  co_return error;
}

}  // namespace

asio::awaitable<bool> ResponseWriter::write(http::response<http::string_body> response) {
  response.prepare_payload();
  const bool keep_alive = response.keep_alive();
  auto written = co_await within(options_.write_limit, write_response(stream_, response));
  co_return written && !*written && keep_alive;
}

asio::awaitable<bool> ResponseWriter::refuse(Refusal refusal, unsigned version, bool keep_alive) {
  if (refusal.stream) {
    const bool opened = co_await open_stream(*refusal.stream, keep_alive);
    if (!opened) {
      co_return false;
    }
    std::optional<RpcError> error(std::move(refusal.error));
    const bool ended = co_await end_stream(std::move(error));
    co_return ended&& keep_alive;
  }
  http::response<http::string_body> response;
  response.result(refusal.http_status);
  response.version(version);
  response.set(http::field::content_type, "application/json");
  if (refusal.header_name != http::field::unknown) {
    response.set(refusal.header_name, refusal.header_value);
  }
  response.body() = error_json(refusal.error);
  response.keep_alive(keep_alive);
  co_return co_await write(std::move(response));
}

asio::awaitable<bool> ResponseWriter::open_stream(ContentType type, bool keep_alive) {
  http::response<http::empty_body> response;
  response.result(http::status::ok);
  response.version(11);
  const auto content_type = header_of(type);
  response.set(http::field::content_type, {content_type.data(), content_type.size()});
  response.chunked(true);
  response.keep_alive(keep_alive);
  std::ostringstream header;
  header << response.base();
  co_return co_await write_bytes(header.str());
}

asio::awaitable<base::Result<void>> ResponseWriter::send(Codec codec,
                                                         const google::protobuf::Message& message) {
  auto encoded = encode_message(codec, message);
  CO_TRY_ASSIGN(payload, std::move(encoded));
  const Envelope envelope{0, std::move(payload)};
  const bool sent = co_await write_chunk(wrap(envelope));
  if (!sent) {
    co_return base::fail(base::ErrorCode::kUnavailable, "the caller does not take the message");
  }
  co_return base::Result<void>{};
}

asio::awaitable<bool> ResponseWriter::end_stream(std::optional<RpcError> error) {
  const Envelope end{Envelope::kEndStream, end_json(error)};
  const bool sent = co_await write_chunk(wrap(end));
  if (!sent) {
    co_return false;
  }
  co_return co_await write_bytes("0\r\n\r\n");
}

asio::awaitable<bool> ResponseWriter::go_on() {
  co_return co_await write_bytes("HTTP/1.1 100 Continue\r\n\r\n");
}

asio::awaitable<bool> ResponseWriter::write_chunk(std::string payload) {
  std::string bytes;
  for (const auto& piece : http::make_chunk(asio::buffer(payload))) {
    bytes.append(static_cast<const char*>(piece.data()), piece.size());
  }
  torn_ = true;
  torn_ = !co_await write_bytes(std::move(bytes));
  co_return !torn_;
}

asio::awaitable<bool> ResponseWriter::write_bytes(std::string bytes) {
  auto written = co_await within(options_.write_limit, write_all(stream_, bytes));
  co_return written && !*written;
}

}  // namespace transport::rpc
