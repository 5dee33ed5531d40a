// SPDX-License-Identifier: Apache-2.0
#include "transport/rpc/connection.h"

#include <algorithm>
#include <boost/beast/core/string.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/url/parse.hpp>

#include "transport/rpc/await_handler.h"
#include "transport/rpc/envelope.h"
#include "transport/rpc/within.h"
#include "vmgs/base/bytes.h"
#include "vmgs/base/log.h"

namespace transport::rpc {

// GCC 12 destroys an aggregate twice if it is a temporary in the expression of a co_await, so here
// such arguments have names.
namespace {

using boost::system::error_code;
using Clock = std::chrono::steady_clock;

// How long a caller has to take our last word, and then to see that it was the last.
constexpr std::chrono::milliseconds kLeaveLimit{1'000};

// How much of a caller's next requests is read while it waits for an answer.
constexpr std::size_t kReadAheadBytes = 4096;

// One operation on the stream, as a coroutine that a deadline can be put on. References are to the
// awaiting frame's variables, which live as long as the operation.
asio::awaitable<error_code> read_header(tls::Stream& stream, boost::beast::flat_buffer& received,
                                        http::request_parser<http::string_body>& parser) {
  const auto [error, bytes] = co_await http::async_read_header(stream, received, parser, as_values);
  co_return error;
}

asio::awaitable<error_code> read_rest(tls::Stream& stream, boost::beast::flat_buffer& received,
                                      http::request_parser<http::string_body>& parser) {
  const auto [error, bytes] = co_await http::async_read(stream, received, parser, as_values);
  co_return error;
}

// A step that gives nothing, as one that a deadline can be put on.
asio::awaitable<bool> done(asio::awaitable<void> step) {
  co_await std::move(step);
  co_return true;
}

std::string_view text(boost::beast::string_view view) { return {view.data(), view.size()}; }

RpcError deadline_exceeded() {
  return {Code::kDeadlineExceeded, "the call did not finish in the time it was given"};
}

RpcError too_large(const ServerOptions& options) {
  return {Code::kResourceExhausted, "the request exceeds the limit of " +
                                        std::to_string(options.max_request_bytes) + " bytes"};
}

RpcError not_admitted(const Peer& peer) {
  return {Code::kPermissionDenied,
          describe(peer) + ", may not call this service: be root, its own user or in its group"};
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

std::string network_in(const Peer& peer) {
  const auto* from = std::get_if<Stranger>(&peer);
  return from == nullptr ? std::string() : network_of(from->address);
}

// Who calls, whichever connection or certificate it comes by: what a Load counts as one.
std::string caller_in(const Peer& peer) {
  const auto* known = std::get_if<TlsPeer>(&peer);
  if (known == nullptr) {
    return network_in(peer);
  }
  const auto& identity = known->identity;
  return std::string(tls::name(identity.role)) + " " +
         (identity.tenant ? base::to_hex(*identity.tenant) : std::string()) + " " + identity.name;
}

RpcError stopping() { return {Code::kUnavailable, "the service is stopping; try again"}; }

// What a handler answers once there is a place for it. Whoever has waited and found none is told
// when to come back.
template <typename T>
asio::awaitable<tl::expected<T, RpcError>> in_turn(
    Load* load, Load::Turn turn, asio::awaitable<tl::expected<T, RpcError>> work) {
  std::optional<Load::Place> place;
  if (load != nullptr) {
    auto entered = co_await load->enter(std::move(turn));
    if (!entered) {
      co_return tl::unexpected<RpcError>(load->refusal());
    }
    place.emplace(*std::move(entered));
  }
  auto answer = co_await std::move(work);
  co_return answer;
}

asio::awaitable<tl::expected<MessagePtr, RpcError>> run_unary(const Method& method,
                                                              MessagePtr message,
                                                              CallContext context) {
  auto answer = co_await method.unary(std::move(message), std::move(context));
  if (!answer) {
    co_return tl::unexpected<RpcError>(rpc_error(std::move(answer).error()));
  }
  co_return *std::move(answer);
}

asio::awaitable<tl::expected<RouteAnswer, RpcError>> run_route(const Route& route,
                                                               RouteRequest request) {
  auto answer = co_await route.handler(std::move(request));
  co_return answer;
}

}  // namespace

Connection::Connection(tls::Stream::Socket socket, tls::Context context, Peer peer, bool admitted,
                       const Served& served, const ServerOptions& options)
    : stream_(std::move(socket), std::move(context)),
      peer_(std::move(peer)),
      network_(network_in(peer_)),
      caller_(caller_in(peer_)),
      admitted_(admitted),
      served_(served),
      options_(options),
      writer_(stream_, options_) {}

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
  bool more = co_await shake_hands();
  while (more && !finishing_) {
    phase_ = Phase::kIdle;
    idle_since_ = Clock::now();
    more = co_await serve_request();
  }
  co_await leave();
}

asio::awaitable<bool> Connection::shake_hands() {
  auto shaken = co_await within(options_.handshake_limit, stream_.shake_hands());
  if (shaken && *shaken) {
    if (const auto& identity = stream_.identity()) {
      peer_ = TlsPeer{*identity, describe(peer_)};
      caller_ = caller_in(peer_);
    }
    co_return true;
  }
  // What is no TLS, or only knocks, is noise of a network; a wrong certificate is somebody's.
  was_refused_ = shaken && shaken->error().code == base::ErrorCode::kAuthentication;
  base::log(was_refused_ ? base::LogLevel::kWarning : base::LogLevel::kDebug,
            "refused " + describe(peer_) + ": " +
                (shaken ? shaken->error().message : "no TLS handshake in time"));
  // The alert that tells the caller why is lost if its next bytes meet a closed socket.
  unread_ = true;
  co_return false;
}

asio::awaitable<bool> Connection::serve_request() {
  Parser parser;
  parser.header_limit(options_.max_header_bytes);
  parser.body_limit(options_.max_request_bytes + Envelope::kHeaderBytes);
  auto header_read = co_await within(options_.idle_limit, read_header(stream_, received_, parser));
  if (!header_read || *header_read) {
    const auto error = header_read.value_or(asio::error::timed_out);
    co_return co_await read_failed(parser, error);
  }

  const unsigned version = parser.get().version();
  auto errand = judge(parser.get());
  if (!errand) {
    // With a body still to come, the next request could not be found.
    if (!admitted_ || !parser.is_done()) {
      co_return co_await refuse_unread(std::move(errand).error(), version);
    }
    const bool keep_alive = parser.get().keep_alive();
    co_return co_await writer_.refuse(std::move(errand).error(), version, keep_alive);
  }
  phase_ = errand->stream() ? Phase::kStream : Phase::kUnary;

  auto body_failed = co_await read_body(parser);
  if (body_failed) {
    const Refusal refusal(*std::move(body_failed), errand->stream());
    co_return co_await refuse_unread(refusal, version);
  }
  auto request = parser.release();
  if (errand->counts_as_load(request.method()) && served_.load != nullptr &&
      served_.load->is_full({errand->urgency(), caller_})) {
    const Refusal refusal(served_.load->refusal());
    co_return co_await writer_.refuse(refusal, version, request.keep_alive());
  }
  if (errand->route != nullptr) {
    co_return co_await serve_route(std::move(request), *errand->route);
  }
  co_return co_await serve_call(request, *std::move(errand->call));
}

bool Connection::Errand::counts_as_load(http::verb verb) const {
  return route != nullptr ? verb == http::verb::post : !call->type.streaming;
}

Urgency Connection::Errand::urgency() const {
  return call ? call->method->urgency : Urgency::kOrdinary;
}

std::optional<ContentType> Connection::Errand::stream() const {
  return call && call->type.streaming ? std::optional(call->type) : std::nullopt;
}

// judge() finds out what the header of a request asks for, and whether this caller may.
tl::expected<Connection::Errand, Refusal> Connection::judge(
    const http::request_header<>& header) const {
  const auto refuse = [](RpcError error) {
    return tl::unexpected<Refusal>(Refusal(std::move(error)));
  };
  if (!admitted_) {
    return refuse(not_admitted(peer_));
  }
  // A connection may outlive the certificate that it was opened with.
  const auto* caller = std::get_if<TlsPeer>(&peer_);
  if (caller != nullptr && caller->identity.not_after < std::chrono::system_clock::now()) {
    return refuse({Code::kUnauthenticated, "the certificate of this connection has ended"});
  }
  const auto target = boost::urls::parse_origin_form(text(header.target()));
  const auto path = target ? text(target->encoded_path()) : std::string_view();
  const auto verbs = served_.routes == nullptr ? "" : served_.routes->allowed(path);
  if (!verbs.empty()) {
    const auto* route = served_.routes->find(header.method(), path);
    if (route == nullptr) {
      return tl::unexpected<Refusal>(Refusal(http::status::method_not_allowed,
                                             {Code::kUnknown, "this path takes " + verbs},
                                             http::field::allow, verbs));
    }
    if (auto error = route->for_everyone ? std::nullopt : why_not(route->roles)) {
      return refuse(*std::move(error));
    }
    return Errand{std::nullopt, route};
  }
  static const Methods kNoMethods;
  auto head = decode_head(header, served_.methods == nullptr ? kNoMethods : *served_.methods);
  if (!head) {
    return tl::unexpected<Refusal>(std::move(head).error());
  }
  Errand errand{*std::move(head), nullptr};
  if (auto error = why_not(*errand.call->method)) {
    return tl::unexpected<Refusal>(Refusal(*std::move(error), errand.stream()));
  }
  return errand;
}

// why_not() is why this caller may not; nothing if it may. Over a Unix socket the door has decided.
std::optional<RpcError> Connection::why_not(const Roles& roles) const {
  if (std::holds_alternative<UnixPeer>(peer_)) {
    return std::nullopt;
  }
  const auto* caller = std::get_if<TlsPeer>(&peer_);
  if (caller == nullptr) {
    return RpcError{Code::kUnauthenticated,
                    "this needs a certificate, which is not asked for here"};
  }
  if (!roles.contains(caller->identity.role)) {
    return RpcError{
        Code::kPermissionDenied,
        "the role " + std::string(tls::name(caller->identity.role)) + " may not do this"};
  }
  return std::nullopt;
}

std::optional<RpcError> Connection::why_not(const Method& method) const {
  static const Roles kNobody;
  return why_not(served_.roles == nullptr ? kNobody : served_.roles->of(*method.descriptor));
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
  co_return co_await refuse_unread(refusal, 11);
}

asio::awaitable<std::optional<RpcError>> Connection::read_body(Parser& parser) {
  if (parser.is_done()) {
    co_return std::nullopt;
  }
  if (boost::beast::iequals(parser.get()[http::field::expect], "100-continue")) {
    const bool told = co_await writer_.go_on();
    if (!told) {
      co_return RpcError{Code::kCanceled, "the caller is gone"};
    }
  }
  auto body_read = co_await within(options_.body_limit, read_rest(stream_, received_, parser));
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

asio::awaitable<bool> Connection::refuse_unread(Refusal refusal, unsigned version) {
  unread_ = true;
  co_return co_await writer_.refuse(std::move(refusal), version, false);
}

asio::awaitable<bool> Connection::serve_call(const HttpRequest& request, CallHead head) {
  auto message = decode_request(head, request.body(), options_.max_request_bytes);
  if (!message) {
    const auto stream = head.type.streaming ? std::optional(head.type) : std::nullopt;
    const Refusal refusal(std::move(message).error(), stream);
    co_return co_await writer_.refuse(refusal, request.version(), request.keep_alive());
  }
  if (head.type.streaming) {
    co_return co_await serve_stream(request, std::move(head), *std::move(message));
  }
  co_return co_await serve_unary(request, std::move(head), *std::move(message));
}

asio::awaitable<bool> Connection::serve_unary(const HttpRequest& request, CallHead head,
                                              MessagePtr message) {
  const auto limit = std::min(head.timeout.value_or(options_.longest_call), options_.longest_call);
  CallContext context{peer_};
  Load::Turn turn{head.method->urgency, caller_};
  auto work = in_turn(served_.load, std::move(turn),
                      run_unary(*head.method, std::move(message), std::move(context)));
  auto outcome = co_await await_handler(std::move(work), hang_up(), Clock::now() + limit);
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
    error = std::move(*answer).error();
  } else if (auto encoded = encode_message(head.type.codec, ***answer); !encoded) {
    error = rpc_error(std::move(encoded).error());
  } else {
    body = *std::move(encoded);
  }
  const bool keep_alive = request.keep_alive() && !finishing_;
  if (error) {
    const Refusal refusal(*std::move(error));
    co_return co_await writer_.refuse(refusal, request.version(), keep_alive);
  }
  http::response<http::string_body> response(http::status::ok, request.version());
  const auto content_type = header_of(head.type);
  response.set(http::field::content_type, {content_type.data(), content_type.size()});
  response.body() = std::move(body);
  response.keep_alive(keep_alive);
  co_return co_await writer_.write(std::move(response));
}

asio::awaitable<bool> Connection::serve_stream(const HttpRequest& request, CallHead head,
                                               MessagePtr message) {
  const bool keep_alive = request.keep_alive();
  const bool opened = co_await writer_.open_stream(head.type, keep_alive);
  if (!opened || finishing_) {
    co_return false;
  }
  const auto codec = head.type.codec;
  const MessageSink sink = [this, codec](const google::protobuf::Message& each) {
    return writer_.send(codec, each);
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
  if (writer_.is_torn() || (ending == Ending::kHangUp && !cut_off_)) {
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
  const bool whole = co_await writer_.end_stream(std::move(error));
  co_return whole&& keep_alive;
}

asio::awaitable<bool> Connection::serve_route(HttpRequest request, const Route& route) {
  const auto target = text(request.target());
  const auto mark = target.find('?');
  RouteRequest asked{std::string(target.substr(0, mark)), "",
                     std::string(text(request[http::field::content_type])),
                     std::move(request.body()), peer_};
  if (mark != std::string_view::npos) {
    asked.query = target.substr(mark + 1);
  }
  auto* load = request.method() == http::verb::post ? served_.load : nullptr;
  Load::Turn turn{Urgency::kOrdinary, caller_};
  auto work = in_turn(load, std::move(turn), run_route(route, std::move(asked)));
  auto outcome =
      co_await await_handler(std::move(work), hang_up(), Clock::now() + options_.longest_call);
  const auto ending = outcome.first;
  auto& answer = outcome.second;
  if (ending == Ending::kHangUp && !cut_off_) {
    co_return false;
  }
  const bool keep_alive = request.keep_alive() && !finishing_;
  if (cut_off_ || ending == Ending::kDeadline || !*answer) {
    const Refusal refusal(cut_off_                      ? stopping()
                          : ending == Ending::kDeadline ? deadline_exceeded()
                                                        : std::move(*answer).error());
    co_return co_await writer_.refuse(refusal, request.version(), keep_alive);
  }
  http::response<http::string_body> response;
  response.result((*answer)->status);
  response.version(request.version());
  response.set(http::field::content_type, (*answer)->content_type);
  response.body() = std::move((*answer)->body);
  response.keep_alive(keep_alive);
  co_return co_await writer_.write(std::move(response));
}

asio::awaitable<void> Connection::leave() {
  co_await within(kLeaveLimit, done(stream_.finish()));
  if (unread_ && !finishing_) {
    co_await within(kLeaveLimit, done(stream_.drain()));
  }
  error_code ignored;
  stream_.socket().close(ignored);
}

// hang_up() ends when the caller has closed its side. It is cancelled when the call ends first.
// What comes meanwhile are the caller's next requests; a hang-up behind them cannot be seen from
// here.
asio::awaitable<void> Connection::hang_up() {
  co_await asio::this_coro::throw_if_cancelled(false);
  const auto [error, bytes] =
      co_await stream_.async_read_some(received_.prepare(kReadAheadBytes), as_values);
  received_.commit(bytes);
  if (!error) {
    asio::steady_timer until_cancelled(co_await asio::this_coro::executor,
                                       Clock::time_point::max());
    co_await until_cancelled.async_wait(as_values);
  }
}

}  // namespace transport::rpc
