// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"

struct evp_pkey_st;

namespace keybroker::crypto {

enum class Curve : std::uint8_t { kP256, kP384 };

// The numbers of an RSA key, big-endian without leading zeros.
struct RsaNumbers {
  base::Bytes modulus;
  base::Bytes exponent;

  friend bool operator==(const RsaNumbers&, const RsaNumbers&) = default;
};

// A point of a curve, big-endian, each coordinate as long as the curve's field.
struct EcPoint {
  Curve curve = Curve::kP256;
  base::Bytes x;
  base::Bytes y;

  friend bool operator==(const EcPoint&, const EcPoint&) = default;
};

// PublicKey is a parsed RSA or elliptic-curve key. Parsing costs about as much as using it, so keep
// the value and not its bytes. Copies share one immutable key; any thread may use it.
class PublicKey {
 public:
  // rsa() makes a key of big-endian numbers. kInvalidArgument below 2048 or above 8192 bits, or for
  // an exponent that is even, below 65537 or above 32 bits.
  static base::Result<PublicKey> rsa(const RsaNumbers& numbers);

  // ec() makes a key of a point, whose coordinates must have the size of the field.
  // kInvalidArgument if the point does not lie on the curve, or at infinity.
  static base::Result<PublicKey> ec(const EcPoint& point);

  // from_spki() reads a DER SubjectPublicKeyInfo, and nothing behind it. from_pem() reads one PEM
  // block PUBLIC KEY. kCorrupt otherwise; keys that are neither RSA nor P-256 nor P-384 too.
  static base::Result<PublicKey> from_spki(base::ByteView der);
  static base::Result<PublicKey> from_pem(std::string_view pem);

  // sharing() takes a share in an OpenSSL key; for this room. kInvalidArgument for other kinds.
  static base::Result<PublicKey> sharing(evp_pkey_st* key);

  // rsa_numbers() and ec_point() are what the key is made of, if it is of that kind.
  [[nodiscard]] std::optional<RsaNumbers> rsa_numbers() const;
  [[nodiscard]] std::optional<EcPoint> ec_point() const;

  [[nodiscard]] bool is_rsa() const { return !curve_; }

  // curve() is there for elliptic-curve keys only.
  [[nodiscard]] std::optional<Curve> curve() const { return curve_; }

  [[nodiscard]] std::size_t bits() const;

  // spki() is the DER SubjectPublicKeyInfo.
  [[nodiscard]] base::Bytes spki() const;

  // describe() is "RSA-2048", "ECDSA P-384".
  [[nodiscard]] std::string describe() const;

  [[nodiscard]] evp_pkey_st* handle() const { return key_.get(); }

  // Two keys are equal when they verify the same signatures, however they came here.
  friend bool operator==(const PublicKey& a, const PublicKey& b);

 private:
  PublicKey(std::shared_ptr<evp_pkey_st> key, std::optional<Curve> curve)
      : key_(std::move(key)), curve_(curve) {}

  std::shared_ptr<evp_pkey_st> key_;
  std::optional<Curve> curve_;
};

}  // namespace keybroker::crypto
