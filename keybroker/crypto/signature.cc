// SPDX-License-Identifier: Apache-2.0
#include "keybroker/crypto/signature.h"

#include <openssl/rsa.h>

#include "keybroker/crypto/openssl.h"
#include "vmgs/crypto/digest.h"

namespace keybroker::crypto {

namespace {

using openssl::ClearedErrors;
using openssl::in;

using EcdsaSignature = std::unique_ptr<ECDSA_SIG, openssl::Freed<ECDSA_SIG_free>>;

const char* openssl_name(Hash hash) {
  switch (hash) {
    case Hash::kSha1:
      return "SHA1";
    case Hash::kSha256:
      return "SHA256";
    case Hash::kSha384:
      return "SHA384";
    case Hash::kSha512:
      return "SHA512";
  }
  return "";
}

auto does_not_verify() {
  return base::fail(base::ErrorCode::kAuthentication, "the signature does not verify");
}

// Only RSA knows paddings.
base::Result<void> verify_with(const PublicKey& key, Hash hash, base::ByteView message,
                               base::ByteView signature, int rsa_padding) {
  const ClearedErrors errors;
  const openssl::DigestContext context(EVP_MD_CTX_new());
  EVP_PKEY_CTX* options = nullptr;  // owned by the digest context
  if (!context || EVP_DigestVerifyInit_ex(context.get(), &options, openssl_name(hash), nullptr,
                                          nullptr, key.handle(), nullptr) != 1) {
    return base::fail(base::ErrorCode::kUnavailable,
                      "OpenSSL cannot verify: " + ClearedErrors::last());
  }
  if (rsa_padding != 0 &&
      (EVP_PKEY_CTX_set_rsa_padding(options, rsa_padding) != 1 ||
       (rsa_padding == RSA_PKCS1_PSS_PADDING &&
        EVP_PKEY_CTX_set_rsa_pss_saltlen(options, RSA_PSS_SALTLEN_AUTO) != 1))) {
    return base::fail(base::ErrorCode::kUnavailable,
                      "OpenSSL cannot verify: " + ClearedErrors::last());
  }
  if (EVP_DigestVerify(context.get(), in(signature), signature.size(), in(message),
                       message.size()) != 1) {
    return does_not_verify();
  }
  return {};
}

base::Result<void> verify_rsa(const PublicKey& key, Hash hash, base::ByteView message,
                              base::ByteView signature, int padding) {
  if (!key.is_rsa()) {
    return base::fail(base::ErrorCode::kInvalidArgument,
                      "an RSA signature cannot be by a key of " + key.describe());
  }
  return verify_with(key, hash, message, signature, padding);
}

}  // namespace

std::string_view name(Hash hash) {
  switch (hash) {
    case Hash::kSha1:
      return "SHA-1";
    case Hash::kSha256:
      return "SHA-256";
    case Hash::kSha384:
      return "SHA-384";
    case Hash::kSha512:
      return "SHA-512";
  }
  return "";
}

std::size_t hash_bytes(Hash hash) {
  switch (hash) {
    case Hash::kSha1:
      return 20;
    case Hash::kSha256:
      return 32;
    case Hash::kSha384:
      return 48;
    case Hash::kSha512:
      return 64;
  }
  return 0;
}

base::Bytes digest(Hash hash, base::ByteView message) {
  switch (hash) {
    case Hash::kSha1:
      return base::copy_of(vmgs::crypto::sha1(message));
    case Hash::kSha256:
      return base::copy_of(vmgs::crypto::sha256(message));
    case Hash::kSha384:
      return base::copy_of(vmgs::crypto::sha384(message));
    case Hash::kSha512:
      return base::copy_of(vmgs::crypto::sha512(message));
  }
  return {};
}

base::Result<void> verify_rsa_pkcs1(const PublicKey& key, Hash hash, base::ByteView message,
                                    base::ByteView signature) {
  return verify_rsa(key, hash, message, signature, RSA_PKCS1_PADDING);
}

base::Result<void> verify_rsa_pss(const PublicKey& key, Hash hash, base::ByteView message,
                                  base::ByteView signature) {
  return verify_rsa(key, hash, message, signature, RSA_PKCS1_PSS_PADDING);
}

base::Result<void> verify_ecdsa(const PublicKey& key, Hash hash, base::ByteView message,
                                const EcdsaNumbers& signature) {
  if (key.is_rsa()) {
    return base::fail(base::ErrorCode::kInvalidArgument,
                      "an ECDSA signature cannot be by an RSA key");
  }
  const ClearedErrors errors;
  // Longer numbers than any field's cannot verify and need no arithmetic.
  constexpr std::size_t kMost = 72;
  if (signature.r.size() > kMost || signature.s.size() > kMost) {
    return does_not_verify();
  }
  const EcdsaSignature pair(ECDSA_SIG_new());
  openssl::Bignum r(BN_bin2bn(in(signature.r), static_cast<int>(signature.r.size()), nullptr));
  openssl::Bignum s(BN_bin2bn(in(signature.s), static_cast<int>(signature.s.size()), nullptr));
  if (!pair || !r || !s || ECDSA_SIG_set0(pair.get(), r.get(), s.get()) != 1) {
    return base::fail(base::ErrorCode::kUnavailable, "OpenSSL has no memory for a signature");
  }
  static_cast<void>(r.release());
  static_cast<void>(s.release());
  return verify_with(key, hash, message, openssl::encoded(i2d_ECDSA_SIG, pair.get()), 0);
}

}  // namespace keybroker::crypto
