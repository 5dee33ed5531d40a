// SPDX-License-Identifier: Apache-2.0
#include "transport/rpc/connection.h"

#include <sys/socket.h>

#include <boost/asio/write.hpp>
#include <boost/beast/http/chunk_encode.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/serializer.hpp>
#include <boost/beast/http/write.hpp>
#include <cerrno>

#include "transport/rpc/envelope.h"
#include "transport/rpc/within.h"

namespace transport::rpc {

// GCC 12 destroys an aggregate twice if it is a temporary in the expression of a co_await, so here
// such arguments have names.
namespace {

using boost::system::error_code;
using Clock = std::chrono::steady_clock;

// One operation on the socket, as a coroutine that a deadline can be put on. Arguments are those
// of the awaiting frame, which lives as long as the operation.
asio::awaitable<error_code> read_header(Connection::Socket& socket,
                                        boost::beast::flat_buffer& received,
                                        http::request_parser<http::string_body>& parser) {
  const auto [error, bytes] = co_await http::async_read_header(socket, received, parser, as_values);
  co_return error;
}

asio::awaitable<error_code> read_rest(Connection::Socket& socket,
                                      boost::beast::flat_buffer& received,
                                      http::request_parser<http::string_body>& parser) {
  const auto [error, bytes] = co_await http::async_read(socket, received, parser, as_values);
  co_return error;
}

asio::awaitable<error_code> write_all(Connection::Socket& socket, std::string bytes) {
  const auto [error, written] = co_await asio::async_write(socket, asio::buffer(bytes), as_values);
  co_return error;
}

asio::awaitable<error_code> write_response(Connection::Socket& socket,
                                           http::response<http::string_body>& response) {
  const auto [error, bytes] = co_await http::async_write(socket, response, as_values);
  co_return error;
}

template <typename Body>
http::response<Body> response_with(unsigned status, unsigned version, std::string_view type) {
  http::response<Body> response;
  response.result(status);
  response.version(version);
  response.set(http::field::content_type, {type.data(), type.size()});
  return response;
}

// What ended a call, if its handler did not.
enum class Ending { kHandler, kHangUp, kDeadline };

// await_handler() runs `handler` until it is done, the caller hangs up or the deadline passes.
template <typename T>
asio::awaitable<std::pair<Ending, std::optional<T>>> await_handler(
    asio::awaitable<T> handler, asio::awaitable<void> hang_up,
    std::optional<Clock::time_point> deadline) {
  using namespace asio::experimental::awaitable_operators;
  asio::steady_timer timer(co_await asio::this_coro::executor,
                           deadline.value_or(Clock::time_point::max()));
  auto first = co_await (std::move(handler) || std::move(hang_up) || timer.async_wait(as_values));
  if (first.index() == 0) {
    co_return std::pair(Ending::kHandler, std::optional<T>(std::get<0>(std::move(first))));
  }
  co_return std::pair(first.index() == 1 ? Ending::kHangUp : Ending::kDeadline, std::optional<T>());
}

RpcError deadline_exceeded() {
  return {Code::kDeadlineExceeded, "the call did not finish in the time it was given"};
}

RpcError too_large(const ServerOptions& options) {
  return {Code::kResourceExhausted, "the request exceeds the limit of " +
                                        std::to_string(options.max_request_bytes) + " bytes"};
}

RpcError not_admitted(const Peer& peer) {
  return {Code::kPermissionDenied,
          "user " + std::to_string(peer.uid) +
              " may not call this service: be root, its own user or in its group"};
}

// What to say about a header that could not be read.
Refusal refusal_of_unread(error_code error, const ServerOptions& options) {
  if (error == asio::error::timed_out) {
    return {http::status::request_timeout,
            {Code::kDeadlineExceeded, "the request did not arrive in time"}};
  }
  if (error == http::error::body_limit) {
    return Refusal(too_large(options));
  }
  if (error == http::error::header_limit) {
    return {http::status::request_header_fields_too_large,
            {Code::kResourceExhausted, "the request's header is too long"}};
  }
  return {http::status::bad_request,
          {Code::kInvalidArgument, "not an HTTP request: " + error.message()}};
}

RpcError stopping() { return {Code::kUnavailable, "the service is stopping; try again"}; }

}  // namespace

Connection::Connection(Socket socket, Peer peer, bool admitted, const Methods& methods,
                       const ServerOptions& options)
    : socket_(std::move(socket)),
      peer_(std::move(peer)),
      admitted_(admitted),
      methods_(methods),
      options_(options) {}

void Connection::finish() {
  finishing_ = true;
  if (phase_ != Phase::kUnary) {
    cancel();
  }
}

void Connection::cancel() {
  cut_off_ = true;
  cancelled_.emit(asio::cancellation_type::terminal);
}

asio::awaitable<void> Connection::serve() {
  // A cancelled call still gets its answer: errors come back as values, not as exceptions.
  co_await asio::this_coro::throw_if_cancelled(false);
  bool more = true;
  while (more && !finishing_) {
    phase_ = Phase::kIdle;
    idle_since_ = Clock::now();
    more = co_await serve_request();
  }
  error_code ignored;
  socket_.shutdown(Socket::shutdown_both, ignored);
  socket_.close(ignored);
}

asio::awaitable<bool> Connection::serve_request() {
  Parser parser;
  parser.header_limit(options_.max_header_bytes);
  parser.body_limit(options_.max_request_bytes + Envelope::kHeaderBytes);
  auto header_read = co_await within(options_.idle_limit, read_header(socket_, received_, parser));
  if (!header_read || *header_read) {
    const auto error = header_read.value_or(asio::error::timed_out);
    co_return co_await read_failed(parser, error);
  }

  const unsigned version = parser.get().version();
  if (!admitted_) {
    const Refusal refusal(not_admitted(peer_));
    co_return co_await refuse(refusal, version, false);
  }
  auto head = decode_head(parser.get(), methods_);
  if (!head) {
    // With a body still to come, the next request could not be found.
    const bool keep_alive = parser.is_done() && parser.get().keep_alive();
    co_return co_await refuse(head.error(), version, keep_alive);
  }
  phase_ = head->type.streaming ? Phase::kStream : Phase::kUnary;
  const auto stream = head->type.streaming ? std::optional(head->type) : std::nullopt;

  auto body_failed = co_await read_body(parser);
  if (body_failed) {
    const Refusal refusal(*std::move(body_failed), stream);
    co_return co_await refuse(refusal, version, false);
  }
  const auto request = parser.release();
  auto message = decode_request(*head, request.body(), options_.max_request_bytes);
  if (!message) {
    const Refusal refusal(std::move(message).error(), stream);
    co_return co_await refuse(refusal, version, request.keep_alive());
  }
  if (head->type.streaming) {
    co_return co_await serve_stream(request, *std::move(head), *std::move(message));
  }
  co_return co_await serve_unary(request, *std::move(head), *std::move(message));
}

// A caller that goes away, between two requests or inside one, gets no answer: nobody is there.
asio::awaitable<bool> Connection::read_failed(const Parser& parser, error_code error) {
  const bool began = parser.got_some() || received_.size() != 0;
  const bool timed_out = error == asio::error::timed_out;
  const bool malformed = error.category() == http::make_error_code(http::error{}).category() &&
                         error != http::error::end_of_stream &&
                         error != http::error::partial_message;
  if (finishing_ || !(malformed || (timed_out && began))) {
    co_return false;
  }
  const auto refusal = refusal_of_unread(error, options_);
  co_return co_await refuse(refusal, 11, false);
}

asio::awaitable<std::optional<RpcError>> Connection::read_body(Parser& parser) {
  if (parser.is_done()) {
    co_return std::nullopt;
  }
  if (boost::beast::iequals(parser.get()[http::field::expect], "100-continue")) {
    auto told =
        co_await within(options_.write_limit, write_all(socket_, "HTTP/1.1 100 Continue\r\n\r\n"));
    if (!told || *told) {
      co_return RpcError{Code::kCanceled, "the caller is gone"};
    }
  }
  auto body_read = co_await within(options_.body_limit, read_rest(socket_, received_, parser));
  if (!body_read) {
    co_return finishing_
        ? stopping()
        : RpcError{Code::kDeadlineExceeded, "the body of the request did not arrive in time"};
  }
  if (*body_read == http::error::body_limit) {
    co_return too_large(options_);
  }
  if (*body_read) {
    co_return RpcError{Code::kInvalidArgument,
                       "the body of the request broke off: " + body_read->message()};
  }
  co_return std::nullopt;
}

asio::awaitable<bool> Connection::serve_unary(const HttpRequest& request, CallHead head,
                                              MessagePtr message) {
  const auto limit = std::min(head.timeout.value_or(options_.longest_call), options_.longest_call);
  const auto deadline = Clock::now() + limit;
  CallContext context{peer_};
  auto handler = head.method->unary(std::move(message), std::move(context));
  auto outcome = co_await await_handler(std::move(handler), hang_up(), deadline);
  const auto ending = outcome.first;
  auto& answer = outcome.second;
  if (ending == Ending::kHangUp && !cut_off_) {
    co_return false;
  }
  std::optional<RpcError> error;
  std::string body;
  // What a handler says after it was cut off is not an answer to what it was asked.
  if (cut_off_) {
    error = stopping();
  } else if (ending == Ending::kDeadline) {
    error = deadline_exceeded();
  } else if (!*answer) {
    error = rpc_error(std::move(*answer).error());
  } else if (auto encoded = encode_message(head.type.codec, ***answer); !encoded) {
    error = rpc_error(std::move(encoded).error());
  } else {
    body = *std::move(encoded);
  }
  const bool keep_alive = request.keep_alive() && !finishing_;
  if (error) {
    const Refusal refusal(*std::move(error));
    co_return co_await refuse(refusal, request.version(), keep_alive);
  }
  auto response = response_with<http::string_body>(200, request.version(), header_of(head.type));
  response.body() = std::move(body);
  response.keep_alive(keep_alive);
  co_return co_await write(std::move(response));
}

asio::awaitable<bool> Connection::serve_stream(const HttpRequest& request, CallHead head,
                                               MessagePtr message) {
  const bool keep_alive = request.keep_alive();
  const bool opened = co_await open_stream(head.type, keep_alive);
  if (!opened || finishing_) {
    co_return false;
  }
  const auto codec = head.type.codec;
  const MessageSink sink = [this, codec](const google::protobuf::Message& each) {
    return send(codec, each);
  };
  std::optional<Clock::time_point> deadline;
  if (head.timeout) {
    deadline = Clock::now() + *head.timeout;
  }
  CallContext context{peer_};
  auto handler = head.method->stream(std::move(message), std::move(context), sink);
  auto outcome = co_await await_handler(std::move(handler), hang_up(), deadline);
  const auto ending = outcome.first;
  auto& ended = outcome.second;
  if (torn_ || (ending == Ending::kHangUp && !cut_off_)) {
    co_return false;
  }
  std::optional<RpcError> error;
  if (cut_off_) {
    error = stopping();
  } else if (ending == Ending::kDeadline) {
    error = deadline_exceeded();
  } else if (!*ended) {
    error = rpc_error(std::move(*ended).error());
  }
  const bool whole = co_await end_stream(error);
  co_return whole&& keep_alive;
}

asio::awaitable<bool> Connection::refuse(const Refusal& refusal, unsigned version,
                                         bool keep_alive) {
  if (refusal.stream) {
    const bool opened = co_await open_stream(*refusal.stream, keep_alive);
    const bool ended = opened && co_await end_stream(refusal.error);
    co_return ended&& keep_alive;
  }
  auto response =
      response_with<http::string_body>(refusal.http_status, version, "application/json");
  if (refusal.header_name != http::field::unknown) {
    response.set(refusal.header_name, refusal.header_value);
  }
  response.body() = error_json(refusal.error);
  response.keep_alive(keep_alive);
  co_return co_await write(std::move(response));
}

asio::awaitable<bool> Connection::write(http::response<http::string_body> response) {
  response.prepare_payload();
  const bool keep_alive = response.keep_alive();
  auto written = co_await within(options_.write_limit, write_response(socket_, response));
  co_return written && !*written && keep_alive;
}

// Streams are chunked, so that the connection outlives them.
asio::awaitable<bool> Connection::open_stream(ContentType type, bool keep_alive) {
  auto response = response_with<http::empty_body>(200, 11, header_of(type));
  response.chunked(true);
  response.keep_alive(keep_alive);
  std::ostringstream header;
  header << response.base();
  auto written = co_await within(options_.write_limit, write_all(socket_, header.str()));
  co_return written && !*written;
}

asio::awaitable<bool> Connection::write_chunk(std::string payload) {
  std::string bytes;
  for (const auto& piece : http::make_chunk(asio::buffer(payload))) {
    bytes.append(static_cast<const char*>(piece.data()), piece.size());
  }
  torn_ = true;
  auto written = co_await within(options_.write_limit, write_all(socket_, std::move(bytes)));
  torn_ = !written || *written;
  co_return !torn_;
}

asio::awaitable<bool> Connection::end_stream(const std::optional<RpcError>& error) {
  const Envelope end{Envelope::kEndStream, end_json(error)};
  const bool sent = co_await write_chunk(wrap(end));
  if (!sent) {
    co_return false;
  }
  auto written = co_await within(options_.write_limit, write_all(socket_, "0\r\n\r\n"));
  co_return written && !*written;
}

asio::awaitable<base::Result<void>> Connection::send(Codec codec,
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

// hang_up() ends when the caller has closed its side. It is cancelled when the call ends first.
asio::awaitable<void> Connection::hang_up() {
  co_await asio::this_coro::throw_if_cancelled(false);
  const auto [error] = co_await socket_.async_wait(Socket::wait_read, as_values);
  char byte = 0;
  const auto peeked = error ? 0 : recv(socket_.native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  if (peeked > 0) {
    // The next request is there already; a hang-up behind it cannot be seen from here.
    asio::steady_timer until_cancelled(co_await asio::this_coro::executor,
                                       Clock::time_point::max());
    co_await until_cancelled.async_wait(as_values);
  }
}

}  // namespace transport::rpc
