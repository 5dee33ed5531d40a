// SPDX-License-Identifier: Apache-2.0
#include "keybroker/crypto/ecdh.h"

#include "keybroker/crypto/openssl.h"

namespace keybroker::crypto {

namespace {

using openssl::ClearedErrors;

constexpr std::byte kUncompressed{0x04};
constexpr std::size_t kCoordinateBytes = 48;

auto wrong_kind(const PublicKey& key) {
  return base::fail(base::ErrorCode::kInvalidArgument,
                    "this needs a key of ECDSA P-384, not of " + key.describe());
}

}  // namespace

base::Result<base::Bytes> encode_p384_point(const PublicKey& key) {
  const auto point = key.ec_point();
  if (!point || point->curve != Curve::kP384) {
    return wrong_kind(key);
  }
  base::Bytes octets{kUncompressed};
  octets.insert(octets.end(), point->x.begin(), point->x.end());
  octets.insert(octets.end(), point->y.begin(), point->y.end());
  return octets;
}

base::Result<PublicKey> decode_p384_point(base::ByteView octets) {
  if (octets.size() != kP384PointBytes || octets[0] != kUncompressed) {
    return base::fail(base::ErrorCode::kCorrupt,
                      "a point of P-384 is 04 and two coordinates of 48 bytes");
  }
  auto key =
      PublicKey::ec({.curve = Curve::kP384,
                     .x = base::copy_of(octets.subspan(1, kCoordinateBytes)),
                     .y = base::copy_of(octets.subspan(1 + kCoordinateBytes, kCoordinateBytes))});
  if (!key) {
    return base::fail(base::ErrorCode::kCorrupt, key.error().message);
  }
  return key;
}

base::Result<base::Secret<48>> agree_p384(const PrivateKey& own, const PublicKey& peer) {
  const ClearedErrors errors;
  if (own.public_key().curve() != Curve::kP384) {
    return wrong_kind(own.public_key());
  }
  if (peer.curve() != Curve::kP384) {
    return wrong_kind(peer);
  }
  const openssl::KeyContext context(EVP_PKEY_CTX_new(own.handle(), nullptr));
  if (!context || EVP_PKEY_derive_init(context.get()) != 1) {
    return base::fail(base::ErrorCode::kUnavailable,
                      "ECDH is not available in OpenSSL: " + ClearedErrors::last());
  }
  // A key that came as SubjectPublicKeyInfo has not been checked; this checks it (5.6.2.3.3).
  if (EVP_PKEY_derive_set_peer_ex(context.get(), peer.handle(), 1) != 1) {
    return base::fail(base::ErrorCode::kInvalidArgument,
                      "ECDH: the peer's key is not a point of its curve");
  }
  return base::Secret<48>::filled_by([&](std::span<std::byte, 48> out) -> base::Result<void> {
    std::size_t size = out.size();
    if (EVP_PKEY_derive(context.get(), reinterpret_cast<unsigned char*>(out.data()), &size) != 1 ||
        size != out.size()) {
      return base::fail(base::ErrorCode::kUnavailable, "ECDH failed: " + ClearedErrors::last());
    }
    return {};
  });
}

}  // namespace keybroker::crypto
