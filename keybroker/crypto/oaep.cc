// SPDX-License-Identifier: Apache-2.0
#include "keybroker/crypto/oaep.h"

#include <openssl/rsa.h>

#include <algorithm>

#include "keybroker/crypto/openssl.h"

namespace keybroker::crypto {

namespace {

using openssl::ClearedErrors;
using openssl::in;

const EVP_MD* digest_of(Hash hash) {
  switch (hash) {
    case Hash::kSha1:
      return EVP_sha1();
    case Hash::kSha256:
      return EVP_sha256();
    case Hash::kSha384:
      return EVP_sha384();
    case Hash::kSha512:
      return EVP_sha512();
  }
  return nullptr;
}

auto unavailable(const std::string& what) {
  return base::fail(base::ErrorCode::kUnavailable, what + ": " + ClearedErrors::last());
}

base::Result<void> check_rsa(const PublicKey& key) {
  if (!key.is_rsa()) {
    return base::fail(base::ErrorCode::kInvalidArgument,
                      "RSA-OAEP cannot use a key of " + key.describe());
  }
  return {};
}

std::size_t modulus_bytes(const PublicKey& key) { return (key.bits() + 7) / 8; }

// OpenSSL owns the label once it has taken it.
bool set_label(EVP_PKEY_CTX* context, base::ByteView label) {
  if (label.empty()) {
    return true;
  }
  auto* copy = OPENSSL_memdup(label.data(), label.size());
  if (copy == nullptr ||
      EVP_PKEY_CTX_set0_rsa_oaep_label(context, copy, static_cast<int>(label.size())) != 1) {
    OPENSSL_free(copy);
    return false;
  }
  return true;
}

bool set_padding(EVP_PKEY_CTX* context, Hash hash, base::ByteView label) {
  return EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_OAEP_PADDING) == 1 &&
         EVP_PKEY_CTX_set_rsa_oaep_md(context, digest_of(hash)) == 1 &&
         EVP_PKEY_CTX_set_rsa_mgf1_md(context, digest_of(hash)) == 1 && set_label(context, label);
}

}  // namespace

base::Result<base::Bytes> encrypt_oaep(const PublicKey& key, Hash hash, base::ByteView label,
                                       std::span<const std::byte> plaintext) {
  const ClearedErrors errors;
  TRY(check_rsa(key));
  base::Bytes ciphertext(modulus_bytes(key));
  if (plaintext.size() + 2 * hash_bytes(hash) + 2 > ciphertext.size()) {
    return base::fail(base::ErrorCode::kInvalidArgument,
                      std::to_string(plaintext.size()) + " bytes are too many for RSA-OAEP with " +
                          key.describe() + " and " + std::string(name(hash)));
  }
  const openssl::KeyContext context(EVP_PKEY_CTX_new(key.handle(), nullptr));
  std::size_t size = ciphertext.size();
  if (!context || EVP_PKEY_encrypt_init(context.get()) != 1 ||
      !set_padding(context.get(), hash, label) ||
      EVP_PKEY_encrypt(context.get(), reinterpret_cast<unsigned char*>(ciphertext.data()), &size,
                       in(plaintext), plaintext.size()) != 1 ||
      size != ciphertext.size()) {
    return unavailable("cannot encrypt by RSA-OAEP");
  }
  return ciphertext;
}

base::Result<base::SecretBytes> decrypt_oaep(const PrivateKey& key, Hash hash, base::ByteView label,
                                             base::ByteView ciphertext) {
  const ClearedErrors errors;
  TRY(check_rsa(key.public_key()));
  const std::size_t modulus = modulus_bytes(key.public_key());
  if (ciphertext.size() != modulus) {
    return base::fail(base::ErrorCode::kCorrupt, "RSA-OAEP: a ciphertext of " +
                                                     key.public_key().describe() + " has " +
                                                     std::to_string(modulus) + " bytes, not " +
                                                     std::to_string(ciphertext.size()));
  }
  const openssl::KeyContext context(EVP_PKEY_CTX_new(key.handle(), nullptr));
  if (!context || EVP_PKEY_decrypt_init(context.get()) != 1 ||
      !set_padding(context.get(), hash, label)) {
    return unavailable("cannot decrypt by RSA-OAEP");
  }
  base::SecretBytes padded(modulus);
  std::size_t size = padded.size();
  if (EVP_PKEY_decrypt(context.get(), reinterpret_cast<unsigned char*>(padded.fill().data()), &size,
                       in(ciphertext), ciphertext.size()) != 1 ||
      size > padded.size()) {
    return base::fail(base::ErrorCode::kAuthentication,
                      "RSA-OAEP: this was not encrypted to the key that was given");
  }
  base::SecretBytes plaintext(size);
  std::ranges::copy(padded.expose().first(size), plaintext.fill().begin());
  return plaintext;
}

}  // namespace keybroker::crypto
