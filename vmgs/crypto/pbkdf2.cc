// SPDX-License-Identifier: Apache-2.0
#include "vmgs/crypto/pbkdf2.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <limits>

namespace vmgs::crypto {

base::Result<void> pbkdf2_sha512(std::span<const std::byte> passphrase, base::ByteView salt,
                                 std::uint32_t rounds, std::span<std::byte> out) {
  constexpr auto kMost = static_cast<std::size_t>(std::numeric_limits<int>::max());
  if (out.empty() || rounds == 0 || rounds > kMost || passphrase.size() > kMost ||
      salt.size() > kMost || out.size() > kMost) {
    return base::fail(base::ErrorCode::kInvalidArgument, "PBKDF2: sizes or rounds do not fit");
  }
  // OpenSSL takes a null passphrase for one that it has to measure.
  const auto* const text =
      passphrase.empty() ? "" : reinterpret_cast<const char*>(passphrase.data());
  if (PKCS5_PBKDF2_HMAC(text, static_cast<int>(passphrase.size()),
                        reinterpret_cast<const unsigned char*>(salt.data()),
                        static_cast<int>(salt.size()), static_cast<int>(rounds), EVP_sha512(),
                        static_cast<int>(out.size()),
                        reinterpret_cast<unsigned char*>(out.data())) != 1) {
    OPENSSL_cleanse(out.data(), out.size());
    return base::fail(base::ErrorCode::kUnavailable, "PBKDF2 is not available in OpenSSL");
  }
  return {};
}

}  // namespace vmgs::crypto
