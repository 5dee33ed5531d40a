// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "keybroker/crypto/public_key.h"
#include "keybroker/crypto/signature.h"
#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"
#include "vmgs/base/secret.h"

namespace keybroker::crypto {

// R and S of an ECDSA signature, big-endian, each as long as the order of the curve.
template <std::size_t N>
struct EcdsaSignature {
  std::array<std::byte, N> r{};
  std::array<std::byte, N> s{};

  // numbers() is what verify_ecdsa() takes. It ends with the signature.
  [[nodiscard]] EcdsaNumbers numbers() const { return {r, s}; }

  friend bool operator==(const EcdsaSignature&, const EcdsaSignature&) = default;
};

using P256Signature = EcdsaSignature<32>;
using P384Signature = EcdsaSignature<48>;

// PrivateKey can sign. Copies share one immutable key, which OpenSSL wipes when the last goes.
class PrivateKey {
 public:
  // generate_rsa() draws a key of 2048 to 8192 bits (seconds for 4096), generate_ec() one of a
  // curve. kInvalidArgument for other sizes.
  static base::Result<PrivateKey> generate_rsa(unsigned bits);
  static base::Result<PrivateKey> generate_ec(Curve curve);

  // from_seed() makes the same key from the same seed: FIPS 186-5, A.2.1, where the seed takes the
  // place of the random bits.
  static base::Result<PrivateKey> from_seed(Curve curve, const base::Secret<64>& seed);

  // from_pem() reads one unencrypted PEM block of a key that PublicKey knows. kCorrupt otherwise.
  static base::Result<PrivateKey> from_pem(base::ByteView pem);

  // to_pem() writes a block PRIVATE KEY (PKCS#8), unencrypted.
  [[nodiscard]] base::Result<base::SecretBytes> to_pem() const;

  // from_pkcs8() reads one DER PrivateKeyInfo (RFC 5958, version 0) and nothing behind it;
  // to_pkcs8() writes it. kCorrupt otherwise, for keys that PublicKey does not know, and for RSA of
  // less than 2048 or more than 8192 bits.
  static base::Result<PrivateKey> from_pkcs8(std::span<const std::byte> der);
  [[nodiscard]] base::Result<base::SecretBytes> to_pkcs8() const;

  [[nodiscard]] const PublicKey& public_key() const { return public_key_; }

  [[nodiscard]] evp_pkey_st* handle() const { return public_key_.handle(); }

 private:
  explicit PrivateKey(PublicKey key) : public_key_(std::move(key)) {}

  static base::Result<PrivateKey> taking(evp_pkey_st* key);

  PublicKey public_key_;  // whose handle has the private half as well
};

// ECDSA (FIPS 186-5) over SHA-256 by P-256, over SHA-384 by P-384. kInvalidArgument for a key of
// another kind.
base::Result<P256Signature> sign_p256(const PrivateKey& key, base::ByteView message);
base::Result<P384Signature> sign_p384(const PrivateKey& key, base::ByteView message);

}  // namespace keybroker::crypto
