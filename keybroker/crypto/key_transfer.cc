// SPDX-License-Identifier: Apache-2.0
#include "keybroker/crypto/key_transfer.h"

#include <algorithm>
#include <string>
#include <string_view>

#include "keybroker/crypto/ecdh.h"
#include "keybroker/crypto/oaep.h"
#include "vmgs/base/cursor.h"
#include "vmgs/crypto/aead.h"
#include "vmgs/crypto/digest.h"
#include "vmgs/crypto/hkdf.h"
#include "vmgs/crypto/random.h"

namespace keybroker::crypto {

namespace {

using vmgs::crypto::AeadKey;

constexpr std::string_view kLabel{"strongroom.transfer/1\0", 22};
constexpr std::size_t kRsaBits = 3072;
constexpr std::size_t kRsaBytes = kRsaBits / 8;
constexpr std::size_t kTagBytes = 16;
constexpr vmgs::crypto::AeadNonce kNonce{};

static_assert(kLabel.size() + 1 + 2 * kP384PointBytes + kMostTransferInfoBytes <=
              vmgs::crypto::kMostHkdfInfoBytes);

auto invalid(const std::string& why) {
  return base::fail(base::ErrorCode::kInvalidArgument, "transfer key: " + why);
}

std::size_t encapsulated_bytes(TransferAlgorithm algorithm) {
  return sealed_transfer_bytes(algorithm, 0) - kTagBytes;
}

// A curve key from the kernel's randomness: OpenSSL's generator lives in the process, and two
// resumes of one snapshot of it draw the same.
base::Result<PrivateKey> draw_p384() {
  TRY_ASSIGN(seed, vmgs::crypto::random_secret<64>());
  return PrivateKey::from_seed(Curve::kP384, seed);
}

base::Result<base::Bytes> context_of(TransferAlgorithm algorithm, const PublicKey& recipient,
                                     base::ByteView ephemeral, base::ByteView info) {
  if (info.size() > kMostTransferInfoBytes) {
    return invalid("the info has more than " + std::to_string(kMostTransferInfoBytes) + " bytes");
  }
  base::Writer context;
  context.bytes(base::bytes_of(kLabel));
  context.u8(static_cast<std::uint8_t>(algorithm));
  if (algorithm == TransferAlgorithm::kEcdhP384) {
    TRY_ASSIGN(point, encode_p384_point(recipient));
    context.bytes(point);
    context.bytes(ephemeral);
  } else {
    const auto numbers = recipient.rsa_numbers();
    context.bytes(numbers ? numbers->modulus : base::Bytes());
  }
  context.bytes(info);
  return std::move(context).take();
}

base::Result<AeadKey> derive_content_key(const PrivateKey& own, const PublicKey& peer,
                                         base::ByteView context) {
  TRY_ASSIGN(shared, agree_p384(own, peer));
  return vmgs::crypto::derive_hkdf_sha384<32>(shared.expose(), {}, context);
}

// A content key, how it travels, and what it is bound to.
struct Encapsulation {
  AeadKey content_key;
  base::Bytes encapsulated;
  base::Bytes context;
};

base::Result<Encapsulation> encapsulate_ecdh(const PublicKey& recipient, base::ByteView info) {
  TRY_ASSIGN(ephemeral, draw_p384());
  TRY_ASSIGN(point, encode_p384_point(ephemeral.public_key()));
  TRY_ASSIGN(context, context_of(TransferAlgorithm::kEcdhP384, recipient, point, info));
  TRY_ASSIGN(key, derive_content_key(ephemeral, recipient, context));
  return Encapsulation{std::move(key), std::move(point), std::move(context)};
}

base::Result<Encapsulation> encapsulate_rsa(const PublicKey& recipient, base::ByteView info) {
  TRY_ASSIGN(context, context_of(TransferAlgorithm::kRsa3072OaepSha384, recipient, {}, info));
  TRY_ASSIGN(key, vmgs::crypto::random_secret<32>());
  TRY_ASSIGN(encrypted,
             encrypt_oaep(recipient, Hash::kSha384, vmgs::crypto::sha384(context), key.expose()));
  return Encapsulation{std::move(key), std::move(encrypted), std::move(context)};
}

base::Result<Encapsulation> open_ecdh(const PrivateKey& own, base::ByteView point,
                                      base::ByteView info) {
  TRY_ASSIGN(ephemeral, decode_p384_point(point));
  TRY_ASSIGN(context, context_of(TransferAlgorithm::kEcdhP384, own.public_key(), point, info));
  TRY_ASSIGN(key, derive_content_key(own, ephemeral, context));
  return Encapsulation{std::move(key), base::copy_of(point), std::move(context)};
}

base::Result<Encapsulation> open_rsa(const PrivateKey& own, base::ByteView encrypted,
                                     base::ByteView info) {
  TRY_ASSIGN(context,
             context_of(TransferAlgorithm::kRsa3072OaepSha384, own.public_key(), {}, info));
  TRY_ASSIGN(key, decrypt_oaep(own, Hash::kSha384, vmgs::crypto::sha384(context), encrypted));
  if (key.size() != 32) {
    return base::fail(base::ErrorCode::kCorrupt, "transfer: a content key has 32 bytes");
  }
  return Encapsulation{AeadKey::copy_of(key.expose().first<32>()), base::copy_of(encrypted),
                       std::move(context)};
}

}  // namespace

base::Result<TransferKey> TransferKey::generate(TransferAlgorithm algorithm) {
  if (algorithm == TransferAlgorithm::kEcdhP384) {
    TRY_ASSIGN(key, draw_p384());
    return TransferKey(algorithm, std::move(key));
  }
  TRY_ASSIGN(key, PrivateKey::generate_rsa(kRsaBits));
  return TransferKey(algorithm, std::move(key));
}

base::Result<base::SecretBytes> TransferKey::open(base::ByteView info,
                                                  base::ByteView sealed) const {
  return open_sealed_to(key_, algorithm_, info, sealed);
}

base::Result<void> check_transfer_key(const PublicKey& recipient, TransferAlgorithm algorithm) {
  if (algorithm == TransferAlgorithm::kEcdhP384) {
    if (recipient.curve() != Curve::kP384) {
      return invalid("ECDH by P-384 cannot seal to a key of " + recipient.describe());
    }
    // A key that came as SubjectPublicKeyInfo may be no point of its curve.
    TRY_ASSIGN(octets, encode_p384_point(recipient));
    auto point = decode_p384_point(octets);
    return point ? base::Result<void>{} : invalid(point.error().message);
  }
  if (algorithm != TransferAlgorithm::kRsa3072OaepSha384) {
    return invalid("there is no such algorithm");
  }
  const auto numbers = recipient.rsa_numbers();
  const base::Bytes exponent{std::byte{1}, std::byte{0}, std::byte{1}};
  if (!numbers || recipient.bits() != kRsaBits || numbers->modulus.size() != kRsaBytes ||
      numbers->exponent != exponent) {
    return invalid("RSA-3072 with the exponent 65537 it must be, this is " + recipient.describe());
  }
  auto key = PublicKey::rsa(*numbers);
  return key ? base::Result<void>{} : invalid(key.error().message);
}

base::Result<base::Bytes> seal_to(const PublicKey& recipient, TransferAlgorithm algorithm,
                                  base::ByteView info, std::span<const std::byte> plaintext) {
  TRY(check_transfer_key(recipient, algorithm));
  if (plaintext.empty() || plaintext.size() > kMostTransferPlaintextBytes) {
    return invalid("cannot seal " + std::to_string(plaintext.size()) + " bytes");
  }
  TRY_ASSIGN(made, algorithm == TransferAlgorithm::kEcdhP384 ? encapsulate_ecdh(recipient, info)
                                                             : encapsulate_rsa(recipient, info));
  base::Bytes ciphertext(plaintext.size());
  TRY_ASSIGN(tag,
             vmgs::crypto::seal(made.content_key, kNonce, made.context, plaintext, ciphertext));
  base::Writer sealed;
  sealed.bytes(made.encapsulated);
  sealed.bytes(ciphertext);
  sealed.bytes(tag);
  return std::move(sealed).take();
}

base::Result<base::SecretBytes> open_sealed_to(const PrivateKey& key, TransferAlgorithm algorithm,
                                               base::ByteView info, base::ByteView sealed) {
  TRY(check_transfer_key(key.public_key(), algorithm));
  const std::size_t least = sealed_transfer_bytes(algorithm, 1);
  if (sealed.size() < least || sealed.size() > least - 1 + kMostTransferPlaintextBytes) {
    return base::fail(base::ErrorCode::kCorrupt, "transfer: nothing sealed to this key has " +
                                                     std::to_string(sealed.size()) + " bytes");
  }
  const auto head = sealed.first(encapsulated_bytes(algorithm));
  const auto ciphertext = sealed.subspan(head.size(), sealed.size() - head.size() - kTagBytes);
  vmgs::crypto::AeadTag tag{};
  std::ranges::copy(sealed.last(kTagBytes), tag.begin());
  TRY_ASSIGN(opened, algorithm == TransferAlgorithm::kEcdhP384 ? open_ecdh(key, head, info)
                                                               : open_rsa(key, head, info));
  base::SecretBytes plaintext(ciphertext.size());
  auto verified = vmgs::crypto::open(opened.content_key, kNonce, opened.context, tag, ciphertext,
                                     plaintext.fill());
  if (!verified) {
    return base::fail(std::move(verified).error().context(
        "transfer: this was sealed to another key or for another purpose, or altered"));
  }
  return plaintext;
}

}  // namespace keybroker::crypto
