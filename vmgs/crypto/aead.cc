// SPDX-License-Identifier: Apache-2.0
#include "vmgs/crypto/aead.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <limits>
#include <memory>

namespace vmgs::crypto {

namespace {

struct ContextDeleter {
  void operator()(EVP_CIPHER_CTX* context) const { EVP_CIPHER_CTX_free(context); }
};

using Context = std::unique_ptr<EVP_CIPHER_CTX, ContextDeleter>;

const unsigned char* in(base::ByteView bytes) {
  return reinterpret_cast<const unsigned char*>(bytes.data());
}

unsigned char* out(std::span<std::byte> bytes) {
  return reinterpret_cast<unsigned char*>(bytes.data());
}

// Sizes go into OpenSSL as int.
base::Result<void> check_sizes(base::ByteView additional, std::size_t from, std::size_t to) {
  constexpr auto kMost = static_cast<std::size_t>(std::numeric_limits<int>::max());
  if (from != to || from > kMost || additional.size() > kMost) {
    return base::fail(base::ErrorCode::kInvalidArgument, "AES-GCM: buffer sizes do not fit");
  }
  return {};
}

base::Error openssl_failed() {
  return {base::ErrorCode::kUnavailable, "AES-256-GCM is not available in OpenSSL"};
}

// run() starts the cipher in one direction and passes all bytes but the tag through it.
bool run(EVP_CIPHER_CTX* context, bool encrypting, const AeadKey& key, const AeadNonce& nonce,
         base::ByteView additional, base::ByteView from, std::span<std::byte> to) {
  int length = 0;
  return EVP_CipherInit_ex(context, EVP_aes_256_gcm(), nullptr, in(key.expose()), in(nonce),
                           encrypting ? 1 : 0) == 1 &&
         (additional.empty() || EVP_CipherUpdate(context, nullptr, &length, in(additional),
                                                 static_cast<int>(additional.size())) == 1) &&
         (from.empty() || EVP_CipherUpdate(context, out(to), &length, in(from),
                                           static_cast<int>(from.size())) == 1);
}

}  // namespace

base::Result<AeadTag> seal(const AeadKey& key, const AeadNonce& nonce, base::ByteView additional,
                           base::ByteView plaintext, std::span<std::byte> ciphertext) {
  TRY(check_sizes(additional, plaintext.size(), ciphertext.size()));
  const Context context(EVP_CIPHER_CTX_new());
  AeadTag tag{};
  std::array<unsigned char, 16> rest{};
  int length = 0;
  if (!context || !run(context.get(), true, key, nonce, additional, plaintext, ciphertext) ||
      EVP_CipherFinal_ex(context.get(), rest.data(), &length) != 1 ||
      EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_AEAD_GET_TAG, static_cast<int>(tag.size()),
                          tag.data()) != 1) {
    return base::fail(openssl_failed());
  }
  return tag;
}

base::Result<void> open(const AeadKey& key, const AeadNonce& nonce, base::ByteView additional,
                        const AeadTag& tag, base::ByteView ciphertext,
                        std::span<std::byte> plaintext) {
  TRY(check_sizes(additional, ciphertext.size(), plaintext.size()));
  const Context context(EVP_CIPHER_CTX_new());
  AeadTag expected = tag;
  std::array<unsigned char, 16> rest{};
  int length = 0;
  if (!context || !run(context.get(), false, key, nonce, additional, ciphertext, plaintext) ||
      EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_AEAD_SET_TAG, static_cast<int>(expected.size()),
                          expected.data()) != 1) {
    OPENSSL_cleanse(plaintext.data(), plaintext.size());
    return base::fail(openssl_failed());
  }
  if (EVP_CipherFinal_ex(context.get(), rest.data(), &length) != 1) {
    OPENSSL_cleanse(plaintext.data(), plaintext.size());
    return base::fail(base::ErrorCode::kAuthentication, "AES-GCM tag does not verify");
  }
  return {};
}

}  // namespace vmgs::crypto
