// SPDX-License-Identifier: Apache-2.0
#include "transport/tls/stream.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <array>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/ssl/error.hpp>
#include <boost/asio/ssl/verify_context.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <memory>

namespace transport::tls {

namespace {

namespace ssl = asio::ssl;
using base::ErrorCode;
using boost::system::error_code;

constexpr auto as_values = asio::as_tuple(asio::use_awaitable);

// OpenSSL counts the alerts that it receives from here (SSL_AD_REASON_OFFSET).
constexpr int kFirstAlert = SSL_AD_REASON_OFFSET;

std::string subject_of(const X509* certificate) {
  std::array<char, 256> text{};
  X509_NAME_oneline(X509_get_subject_name(certificate), text.data(), static_cast<int>(text.size()));
  return text.data();
}

std::optional<int> alert_in(const error_code& error) {
  if (error.category() != asio::error::get_ssl_category()) {
    return std::nullopt;
  }
  const int reason = ERR_GET_REASON(static_cast<unsigned long>(error.value()));
  return reason > kFirstAlert ? std::optional(reason - kFirstAlert) : std::nullopt;
}

// RFC 8446, 6.2: the alerts that speak of the certificate of who receives them.
bool is_about_certificate(int alert) {
  switch (alert) {
    case SSL_AD_BAD_CERTIFICATE:
    case SSL_AD_UNSUPPORTED_CERTIFICATE:
    case SSL_AD_CERTIFICATE_REVOKED:
    case SSL_AD_CERTIFICATE_EXPIRED:
    case SSL_AD_CERTIFICATE_UNKNOWN:
    case SSL_AD_UNKNOWN_CA:
    case SSL_AD_ACCESS_DENIED:
    case SSL_AD_CERTIFICATE_REQUIRED:
      return true;
    default:
      return false;
  }
}

// An alert from OpenSSL's verification of a certificate of the other side; that one we sent.
bool is_unaccepted(const error_code& error) {
  if (error.category() != asio::error::get_ssl_category()) {
    return false;
  }
  const int reason = ERR_GET_REASON(static_cast<unsigned long>(error.value()));
  return reason == SSL_R_CERTIFICATE_VERIFY_FAILED ||
         reason == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE;
}

}  // namespace

Stream::Stream(Socket socket, Context context)
    : socket_(std::move(socket)), context_(std::move(context)) {
  if (context_) {
    tls_.emplace(socket_, *context_);
  }
}

asio::awaitable<error_code> Stream::run_handshake(ssl::stream_base::handshake_type side) {
  const auto [error] = co_await tls_->async_handshake(side, as_values);
  co_return error;
}

asio::awaitable<base::Result<void>> Stream::shake_hands() {
  if (!tls_) {
    co_return base::Result<void>{};
  }
  // The subject is judged here so that the handshake itself fails, and the caller is told.
  tls_->set_verify_callback([this](bool good, ssl::verify_context& verification) {
    auto* native = verification.native_handle();
    const auto* certificate = X509_STORE_CTX_get_current_cert(native);
    const auto shown = certificate == nullptr ? "a certificate" : subject_of(certificate);
    if (!good) {
      why_not_accepted_ =
          shown + ": " + X509_verify_cert_error_string(X509_STORE_CTX_get_error(native));
      return false;
    }
    if (X509_STORE_CTX_get_error_depth(native) != 0) {
      return true;
    }
    auto identity = identity_of(*certificate);
    if (!identity) {
      X509_STORE_CTX_set_error(native, X509_V_ERR_CERT_REJECTED);
      why_not_accepted_ = shown + ": " + identity.error().message;
      return false;
    }
    identity_ = *std::move(identity);
    return true;
  });
  const auto error = co_await run_handshake(ssl::stream_base::server);
  if (!error) {
    co_return base::Result<void>{};
  }
  identity_.reset();
  if (is_unaccepted(error)) {
    co_return base::fail(ErrorCode::kAuthentication,
                         why_not_accepted_.empty() ? "it shows no certificate" : why_not_accepted_);
  }
  co_return base::fail(ErrorCode::kUnavailable, error.message());
}

asio::awaitable<base::Result<void>> Stream::shake_hands_with(Endpoint service) {
  auto* native = tls_->native_handle();
  auto* terms = SSL_get0_param(native);
  X509_VERIFY_PARAM_set_hostflags(
      terms, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT | X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
  const bool named =
      service.is_address
          ? X509_VERIFY_PARAM_set1_ip_asc(terms, service.host.c_str()) == 1
          : X509_VERIFY_PARAM_set1_host(terms, service.host.data(), service.host.size()) == 1 &&
                SSL_set_tlsext_host_name(native, service.host.c_str()) == 1;
  if (!named) {
    ERR_clear_error();
    co_return base::fail(ErrorCode::kInvalidArgument, service.host + " is no name of a host");
  }
  tls_->set_verify_callback([this](bool good, ssl::verify_context& verification) {
    if (!good) {
      why_not_accepted_ =
          X509_verify_cert_error_string(X509_STORE_CTX_get_error(verification.native_handle()));
    }
    return good;
  });
  const auto error = co_await run_handshake(ssl::stream_base::client);
  if (!error) {
    co_return base::Result<void>{};
  }
  if (is_unaccepted(error)) {
    co_return base::fail(ErrorCode::kAuthentication, "the certificate of " + service.authority() +
                                                         " is not accepted: " + why_not_accepted_);
  }
  co_return base::fail(explain(error).context("no TLS with " + service.authority()));
}

bool Stream::is_accepted_by(ssl::context& terms) {
  if (!tls_ || !identity_) {
    return true;
  }
  auto* session = tls_->native_handle();
  auto* certificate = SSL_get0_peer_certificate(session);
  const std::unique_ptr<X509_STORE_CTX, decltype(&X509_STORE_CTX_free)> verification(
      X509_STORE_CTX_new(), X509_STORE_CTX_free);
  const bool accepted =
      verification && certificate != nullptr &&
      X509_STORE_CTX_init(verification.get(), SSL_CTX_get_cert_store(terms.native_handle()),
                          certificate, SSL_get_peer_cert_chain(session)) == 1 &&
      X509_STORE_CTX_set_default(verification.get(), "ssl_client") == 1 &&
      X509_verify_cert(verification.get()) == 1;
  ERR_clear_error();
  return accepted;
}

asio::awaitable<void> Stream::finish() {
  if (tls_) {
    // As if the other side's word had come: whether it ever does is nothing that we wait for.
    auto* native = tls_->native_handle();
    SSL_set_shutdown(native, SSL_get_shutdown(native) | SSL_RECEIVED_SHUTDOWN);
    co_await tls_->async_shutdown(as_values);
  }
  error_code ignored;
  socket_.shutdown(Socket::shutdown_send, ignored);
}

asio::awaitable<void> Stream::drain() {
  std::array<std::byte, 4096> dropped{};
  for (;;) {
    const auto [error, bytes] = co_await socket_.async_read_some(asio::buffer(dropped), as_values);
    if (error) {
      co_return;
    }
  }
}

bool is_truncated(const error_code& error) { return error == ssl::error::stream_truncated; }

bool is_refusal(const error_code& error) {
  const auto alert = alert_in(error);
  return alert && is_about_certificate(*alert);
}

base::Error explain(const error_code& error) {
  if (is_refusal(error)) {
    return {ErrorCode::kAuthentication,
            "the service does not accept our certificate: " + error.message()};
  }
  if (is_truncated(error)) {
    return {ErrorCode::kUnavailable, "the connection was cut: it ended without its TLS end"};
  }
  return {ErrorCode::kUnavailable, error.message()};
}

}  // namespace transport::tls
