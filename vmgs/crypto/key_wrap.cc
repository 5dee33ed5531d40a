// SPDX-License-Identifier: Apache-2.0
#include "vmgs/crypto/key_wrap.h"

#include <openssl/err.h>
#include <openssl/evp.h>

#include <algorithm>
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

base::Result<Context> started(const KeyWrapKey& key, bool wrapping) {
  Context context(EVP_CIPHER_CTX_new());
  if (context) {
    EVP_CIPHER_CTX_set_flags(context.get(), EVP_CIPHER_CTX_FLAG_WRAP_ALLOW);
  }
  // No IV: OpenSSL then takes that of RFC 5649, section 3.
  if (!context || EVP_CipherInit_ex(context.get(), EVP_aes_256_wrap_pad(), nullptr,
                                    in(key.expose()), nullptr, wrapping ? 1 : 0) != 1) {
    ERR_clear_error();
    return base::fail(base::ErrorCode::kUnavailable, "AES key wrap is not available in OpenSSL");
  }
  return context;
}

}  // namespace

base::Result<base::Bytes> wrap_key(const KeyWrapKey& key, std::span<const std::byte> plaintext) {
  if (plaintext.empty() || plaintext.size() > kMostWrappedPlaintextBytes) {
    return base::fail(base::ErrorCode::kInvalidArgument,
                      "AES key wrap: cannot wrap " + std::to_string(plaintext.size()) + " bytes");
  }
  TRY_ASSIGN(context, started(key, true));
  base::Bytes wrapped(wrapped_bytes(plaintext.size()));
  int length = 0;
  if (EVP_CipherUpdate(context.get(), reinterpret_cast<unsigned char*>(wrapped.data()), &length,
                       in(plaintext), static_cast<int>(plaintext.size())) != 1 ||
      static_cast<std::size_t>(length) != wrapped.size()) {
    ERR_clear_error();
    return base::fail(base::ErrorCode::kUnavailable, "AES key wrap failed in OpenSSL");
  }
  return wrapped;
}

base::Result<base::SecretBytes> unwrap_key(const KeyWrapKey& key, base::ByteView wrapped) {
  if (wrapped.size() < 16 || wrapped.size() % 8 != 0 ||
      wrapped.size() > wrapped_bytes(kMostWrappedPlaintextBytes)) {
    return base::fail(
        base::ErrorCode::kCorrupt,
        "AES key wrap: no key has " + std::to_string(wrapped.size()) + " bytes when wrapped");
  }
  TRY_ASSIGN(context, started(key, false));
  // OpenSSL writes the padding too, and all of it before it has checked anything.
  base::SecretBytes padded(wrapped.size());
  int length = 0;
  if (EVP_CipherUpdate(context.get(), reinterpret_cast<unsigned char*>(padded.fill().data()),
                       &length, in(wrapped), static_cast<int>(wrapped.size())) != 1 ||
      length <= 0 || static_cast<std::size_t>(length) > padded.size()) {
    ERR_clear_error();
    return base::fail(base::ErrorCode::kAuthentication,
                      "AES key wrap: this is not wrapped under the key that was given");
  }
  base::SecretBytes plaintext(static_cast<std::size_t>(length));
  std::ranges::copy(padded.expose().first(plaintext.size()), plaintext.fill().begin());
  return plaintext;
}

}  // namespace vmgs::crypto
