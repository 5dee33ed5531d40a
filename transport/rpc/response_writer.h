// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/beast/http/string_body.hpp>
#include <optional>
#include <string>

#include "transport/rpc/call.h"
#include "transport/rpc/server.h"
#include "transport/tls/stream.h"

namespace transport::rpc {

// ResponseWriter writes the answers of one connection. Each step has the server's deadline for a
// caller to take a message, and says whether the connection can carry another request.
class ResponseWriter {
 public:
  // Both outlive the writer.
  ResponseWriter(tls::Stream& stream, const ServerOptions& options)
      : stream_(stream), options_(options) {}

  // write() sends `response` with the length of its body.
  asio::awaitable<bool> write(http::response<http::string_body> response);

  // refuse() sends what belongs to a refusal.
  asio::awaitable<bool> refuse(Refusal refusal, unsigned version, bool keep_alive);

  // A stream is opened, carries messages and is ended. It is chunked, so that the connection
  // outlives it.
  asio::awaitable<bool> open_stream(ContentType type, bool keep_alive);
  asio::awaitable<base::Result<void>> send(Codec codec, const google::protobuf::Message& message);
  asio::awaitable<bool> end_stream(std::optional<RpcError> error);

  // go_on() tells a caller who asked for leave to send its body that it may.
  asio::awaitable<bool> go_on();

  // Whether a part of a message was written and the rest was not.
  [[nodiscard]] bool is_torn() const { return torn_; }

 private:
  asio::awaitable<bool> write_bytes(std::string bytes);
  asio::awaitable<bool> write_chunk(std::string payload);

  tls::Stream& stream_;
  const ServerOptions& options_;
  bool torn_ = false;
};

}  // namespace transport::rpc
