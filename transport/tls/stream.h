// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/async_result.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <optional>
#include <string>
#include <utility>

#include "transport/tls/context.h"
#include "transport/tls/endpoint.h"
#include "transport/tls/peer_identity.h"
#include "vmgs/base/result.h"

namespace transport::tls {

namespace asio = boost::asio;

// Stream is a connected socket, Unix or TCP, with TLS over it or without. It is what Asio calls an
// AsyncStream, so whatever reads and writes streams is made once for all of them. One read and one
// write at a time; the thread of its executor.
//
// Over TLS, a stream that ends without the other side's word that it ends (close_notify) gives an
// error that is_truncated() knows, never an end of file: somebody in between may have cut it.
class Stream {
 public:
  using Socket = asio::generic::stream_protocol::socket;
  using executor_type = Socket::executor_type;

  // A stream of bytes as they are, or with `context` one that speaks TLS after its handshake.
  explicit Stream(Socket socket, Context context = nullptr);
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  [[nodiscard]] executor_type get_executor() { return socket_.get_executor(); }

  // shake_hands() is the server's side of a handshake. It succeeds at once without TLS.
  // kAuthentication if the caller's certificate is missing or not accepted, or its subject is no
  // PeerIdentity, with the reason; else kUnavailable. What stands in the way is told to the caller
  // by TLS. No data of a caller is read before.
  asio::awaitable<base::Result<void>> shake_hands();

  // shake_hands_with() is the client's side: the service shows a certificate for `service`, by its
  // subject alternative names only. kAuthentication if it does not, else kUnavailable. A service
  // that refuses our certificate says so after that, when we read: explain() knows.
  asio::awaitable<base::Result<void>> shake_hands_with(Endpoint service);

  // identity() is who the caller is, after shake_hands(); nothing if none was asked for.
  [[nodiscard]] const std::optional<PeerIdentity>& identity() const { return identity_; }

  // is_accepted_by() tells whether the caller's certificate, as it was shown, would be taken again
  // under `terms`. True where none was asked for.
  [[nodiscard]] bool is_accepted_by(asio::ssl::context& terms);

  [[nodiscard]] bool is_tls() const { return tls_.has_value(); }

  // finish() says that nothing more comes: close_notify, and the end of the socket's stream. It
  // waits for no answer. Over TCP, drain() then reads what the other side still sends, and drops
  // it, until that ends: a socket that is closed with bytes unread takes back what was just
  // written. Both are given a deadline by who awaits them.
  asio::awaitable<void> finish();
  asio::awaitable<void> drain();

  [[nodiscard]] Socket& socket() { return socket_; }

  template <typename Buffers, typename Token>
  auto async_read_some(const Buffers& buffers, Token&& token) {
    auto initiate = [this](auto handler, const Buffers& to) {
      if (tls_) {
        tls_->async_read_some(to, std::move(handler));
      } else {
        socket_.async_read_some(to, std::move(handler));
      }
    };
    return asio::async_initiate<Token, void(boost::system::error_code, std::size_t)>(
        std::move(initiate), token, buffers);
  }

  template <typename Buffers, typename Token>
  auto async_write_some(const Buffers& buffers, Token&& token) {
    auto initiate = [this](auto handler, const Buffers& from) {
      if (tls_) {
        tls_->async_write_some(from, std::move(handler));
      } else {
        socket_.async_write_some(from, std::move(handler));
      }
    };
    return asio::async_initiate<Token, void(boost::system::error_code, std::size_t)>(
        std::move(initiate), token, buffers);
  }

 private:
  asio::awaitable<boost::system::error_code> run_handshake(asio::ssl::stream_base::handshake_type);

  Socket socket_;
  Context context_;
  std::optional<asio::ssl::stream<Socket&>> tls_;
  std::optional<PeerIdentity> identity_;
  std::string why_not_accepted_;
};

// is_truncated() tells a TLS stream that was cut.
bool is_truncated(const boost::system::error_code& error);

// is_refusal() tells an alert by which the other side refuses our certificate.
bool is_refusal(const boost::system::error_code& error);

// explain() is an error of a stream as ours. kAuthentication if is_refusal(), else kUnavailable.
base::Error explain(const boost::system::error_code& error);

}  // namespace transport::tls
