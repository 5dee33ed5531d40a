// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>

#include "keybroker/crypto/private_key.h"
#include "keybroker/crypto/public_key.h"
#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"
#include "vmgs/base/secret.h"

namespace keybroker::crypto {

// How secrets travel to the one holder of a transfer key. The values are those on the wire.
enum class TransferAlgorithm : std::uint8_t { kEcdhP384 = 1, kRsa3072OaepSha384 = 2 };

inline constexpr std::size_t kMostTransferInfoBytes = 512;
inline constexpr std::size_t kMostTransferPlaintextBytes = 16 * 1024;

// sealed_transfer_bytes() is how long `plaintext_bytes` become.
constexpr std::size_t sealed_transfer_bytes(TransferAlgorithm algorithm,
                                            std::size_t plaintext_bytes) {
  return (algorithm == TransferAlgorithm::kEcdhP384 ? 97U : 384U) + plaintext_bytes + 16U;
}

// TransferKey is drawn for one attempt of one start and never stored: what was sealed to it is lost
// with it. It holds the private half. One owner.
class TransferKey {
 public:
  // generate() draws a key; RSA takes a noticeable part of a second. An elliptic-curve key comes
  // from the kernel's generator alone, an RSA key from OpenSSL's.
  static base::Result<TransferKey> generate(TransferAlgorithm algorithm);

  [[nodiscard]] TransferAlgorithm algorithm() const { return algorithm_; }

  [[nodiscard]] const PublicKey& public_key() const { return key_.public_key(); }

  // open() gives what seal_to() sealed to this key with the same `info`. kCorrupt for a length or a
  // point that seal_to() never writes, kAuthentication if it was sealed to another key or info, or
  // altered on the way; kInvalidArgument for too long an info.
  [[nodiscard]] base::Result<base::SecretBytes> open(base::ByteView info,
                                                     base::ByteView sealed) const;

 private:
  TransferKey(TransferAlgorithm algorithm, PrivateKey key)
      : algorithm_(algorithm), key_(std::move(key)) {}

  TransferAlgorithm algorithm_;
  PrivateKey key_;
};

// check_transfer_key() tells whether secrets can be sealed to `recipient` by this algorithm:
// kInvalidArgument unless it is a point of P-384, or RSA of 3072 bits with the exponent 65537.
base::Result<void> check_transfer_key(const PublicKey& recipient, TransferAlgorithm algorithm);

// seal_to() seals 1 to kMostTransferPlaintextBytes bytes to `recipient`, for who has the private
// half and names the same `info`, of at most kMostTransferInfoBytes. Nobody signs it: who sealed it
// must come from elsewhere. kInvalidArgument for other sizes, and as check_transfer_key(). Any
// thread.
//
// The result has no options: what the algorithm encapsulates, the ciphertext, as long as the
// plaintext, and a tag of 16 bytes. All is bound to
//
//   context = "strongroom.transfer/1" || 00 || algorithm (1) || recipient || ephemeral || info
//
//   kEcdhP384: recipient and ephemeral are uncompressed points of 97 bytes; the ephemeral one is
//     encapsulated. Content key = HKDF-SHA384(x coordinate of the shared point, no salt, context).
//   kRsa3072OaepSha384: recipient is the modulus of 384 bytes, ephemeral is absent. A random
//     content key is encapsulated by RSAES-OAEP with SHA-384, MGF1 of SHA-384, and the label
//     SHA-384(context).
//
// Content: AES-256-GCM with additional data = context. The nonce is zero, for no content key is
// used twice.
base::Result<base::Bytes> seal_to(const PublicKey& recipient, TransferAlgorithm algorithm,
                                  base::ByteView info, std::span<const std::byte> plaintext);

// open_sealed_to() is TransferKey::open() by a private key that comes from elsewhere.
// kInvalidArgument if check_transfer_key() refuses it.
base::Result<base::SecretBytes> open_sealed_to(const PrivateKey& key, TransferAlgorithm algorithm,
                                               base::ByteView info, base::ByteView sealed);

}  // namespace keybroker::crypto
