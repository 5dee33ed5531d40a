// SPDX-License-Identifier: Apache-2.0
#include "vmgs/crypto/hkdf.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
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

// OpenSSL takes parameters by pointer to non-const and does not write through them. It refuses a
// null pointer, which is where nothing may lie.
OSSL_PARAM octets(const char* name, base::ByteView bytes) {
  static constexpr std::byte kNothing{};
  const std::byte* at = bytes.empty() ? &kNothing : bytes.data();
  return OSSL_PARAM_construct_octet_string(name, const_cast<std::byte*>(at), bytes.size());
}

base::Result<void> hkdf(const char* digest, std::size_t digest_bytes,
                        std::span<const std::byte> secret, base::ByteView salt, base::ByteView info,
                        std::span<std::byte> out) {
  if (secret.empty() || info.size() > kMostHkdfInfoBytes || out.empty() ||
      out.size() > 255 * digest_bytes) {
    return base::fail(base::ErrorCode::kInvalidArgument,
                      "HKDF: the secret, the info or the output has a size that is not allowed");
  }
  const std::unique_ptr<EVP_KDF, KdfDeleter> kdf(EVP_KDF_fetch(nullptr, "HKDF", nullptr));
  const std::unique_ptr<EVP_KDF_CTX, KdfDeleter> context(kdf ? EVP_KDF_CTX_new(kdf.get())
                                                             : nullptr);
  const std::array<OSSL_PARAM, 5> params{
      OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, const_cast<char*>(digest), 0),
      octets(OSSL_KDF_PARAM_KEY, secret),
      octets(OSSL_KDF_PARAM_SALT, salt),
      octets(OSSL_KDF_PARAM_INFO, info),
      OSSL_PARAM_construct_end(),
  };
  if (!context || EVP_KDF_derive(context.get(), reinterpret_cast<unsigned char*>(out.data()),
                                 out.size(), params.data()) != 1) {
    ERR_clear_error();
    return base::fail(base::ErrorCode::kUnavailable, "HKDF is not available in OpenSSL");
  }
  return {};
}

}  // namespace

base::Result<void> hkdf_sha256(std::span<const std::byte> secret, base::ByteView salt,
                               base::ByteView info, std::span<std::byte> out) {
  return hkdf("SHA256", 32, secret, salt, info, out);
}

base::Result<void> hkdf_sha384(std::span<const std::byte> secret, base::ByteView salt,
                               base::ByteView info, std::span<std::byte> out) {
  return hkdf("SHA384", 48, secret, salt, info, out);
}

}  // namespace vmgs::crypto
