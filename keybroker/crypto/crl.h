// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "keybroker/crypto/certificate.h"
#include "keybroker/crypto/public_key.h"
#include "keybroker/crypto/time.h"
#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"

struct X509_crl_st;

namespace keybroker::crypto {

// Crl is a parsed certificate revocation list (RFC 5280, 5); nothing has looked at its signature.
// Copies share one immutable object; any thread may use it.
class Crl {
 public:
  // decode() reads one DER list and nothing behind it. kCorrupt otherwise, for more than 4 MiB, for
  // a list without nextUpdate, and for one with a critical extension: it would cover less than all
  // certificates of its issuer, or more.
  static base::Result<Crl> decode(base::ByteView der);

  // decode_own() reads a list that was made here, however long it is.
  static base::Result<Crl> decode_own(base::ByteView der);

  [[nodiscard]] const base::Bytes& der() const { return *der_; }

  [[nodiscard]] std::string issuer() const;
  [[nodiscard]] base::Bytes issuer_der() const;

  [[nodiscard]] Time this_update() const { return this_update_; }

  [[nodiscard]] Time next_update() const { return next_update_; }

  [[nodiscard]] SignatureAlgorithm signature_algorithm() const;

  // verify() checks that the holder of `issuer` signed the list. kAuthentication if not.
  [[nodiscard]] base::Result<void> verify(const PublicKey& issuer) const;

  // revokes() tells whether the list names the serial number of `certificate`. Whether the list is
  // one of the certificate's issuer is for the caller to compare.
  [[nodiscard]] bool revokes(const Certificate& certificate) const;

  // One entry of the list, for people.
  struct Entry {
    base::Bytes serial;  // big-endian without leading zeros
    Time revoked;
  };

  [[nodiscard]] std::vector<Entry> entries() const;

 private:
  Crl() = default;

  std::shared_ptr<X509_crl_st> crl_;
  std::shared_ptr<const base::Bytes> der_;
  Time this_update_;
  Time next_update_;
};

inline constexpr std::size_t kMaxCrlBytes = 4 * 1024 * 1024;

}  // namespace keybroker::crypto
