// SPDX-License-Identifier: Apache-2.0
#include "vmgs/crypto/kdf.h"

#include <openssl/core_names.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

#include <array>
#include <memory>

namespace vmgs::crypto {

namespace {

struct KdfDeleter {
  void operator()(EVP_KDF* kdf) const { EVP_KDF_free(kdf); }

  void operator()(EVP_KDF_CTX* context) const { EVP_KDF_CTX_free(context); }
};

// OpenSSL takes parameters by pointer to non-const and does not write through them.
OSSL_PARAM octets(const char* name, base::ByteView bytes) {
  return OSSL_PARAM_construct_octet_string(name, const_cast<std::byte*>(bytes.data()),
                                           bytes.size());
}

OSSL_PARAM text(const char* name, const char* value) {
  return OSSL_PARAM_construct_utf8_string(name, const_cast<char*>(value), 0);
}

}  // namespace

base::Result<void> kbkdf(std::span<const std::byte> key, base::ByteView label,
                         base::ByteView context, std::span<std::byte> out) {
  if (key.empty() || out.empty()) {
    return base::fail(base::ErrorCode::kInvalidArgument, "KBKDF: empty key or output");
  }
  const std::unique_ptr<EVP_KDF, KdfDeleter> kdf(EVP_KDF_fetch(nullptr, "KBKDF", nullptr));
  const std::unique_ptr<EVP_KDF_CTX, KdfDeleter> kdf_context(kdf ? EVP_KDF_CTX_new(kdf.get())
                                                                 : nullptr);
  const std::array<OSSL_PARAM, 7> params{
      text(OSSL_KDF_PARAM_MODE, "counter"),
      text(OSSL_KDF_PARAM_MAC, "HMAC"),
      text(OSSL_KDF_PARAM_DIGEST, "SHA256"),
      octets(OSSL_KDF_PARAM_KEY, key),
      octets(OSSL_KDF_PARAM_SALT, label),
      octets(OSSL_KDF_PARAM_INFO, context),
      OSSL_PARAM_construct_end(),
  };
  if (!kdf_context ||
      EVP_KDF_derive(kdf_context.get(), reinterpret_cast<unsigned char*>(out.data()), out.size(),
                     params.data()) != 1) {
    return base::fail(base::ErrorCode::kUnavailable, "KBKDF is not available in OpenSSL");
  }
  return {};
}

}  // namespace vmgs::crypto
