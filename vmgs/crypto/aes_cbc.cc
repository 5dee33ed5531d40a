// SPDX-License-Identifier: Apache-2.0
#include "vmgs/crypto/aes_cbc.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <limits>
#include <memory>

namespace vmgs::crypto {

namespace {

constexpr std::size_t kBlockBytes = 16;

struct ContextDeleter {
  void operator()(EVP_CIPHER_CTX* context) const { EVP_CIPHER_CTX_free(context); }
};

const unsigned char* in(base::ByteView bytes) {
  return reinterpret_cast<const unsigned char*>(bytes.data());
}

const EVP_CIPHER* cipher_for(std::span<const std::byte> key) {
  switch (key.size()) {
    case 16:
      return EVP_aes_128_cbc();
    case 32:
      return EVP_aes_256_cbc();
    default:
      return nullptr;
  }
}

base::Result<void> run(bool encrypting, std::span<const std::byte> key, const CbcIv& iv,
                       base::ByteView from, std::span<std::byte> to) {
  const auto* const cipher = cipher_for(key);
  if (cipher == nullptr) {
    return base::fail(base::ErrorCode::kInvalidArgument, "AES-CBC: a key has 16 or 32 bytes");
  }
  if (from.size() != to.size() || from.size() % kBlockBytes != 0 ||
      from.size() > static_cast<std::size_t>(std::numeric_limits<int>::max())) {
    return base::fail(base::ErrorCode::kInvalidArgument, "AES-CBC: buffer sizes do not fit");
  }
  if (from.empty()) {
    return {};
  }
  const std::unique_ptr<EVP_CIPHER_CTX, ContextDeleter> context(EVP_CIPHER_CTX_new());
  std::array<unsigned char, kBlockBytes> rest{};
  int length = 0;
  int rest_length = 0;
  if (!context ||
      EVP_CipherInit_ex(context.get(), cipher, nullptr, in(key), in(iv), encrypting ? 1 : 0) != 1 ||
      EVP_CIPHER_CTX_set_padding(context.get(), 0) != 1 ||
      EVP_CipherUpdate(context.get(), reinterpret_cast<unsigned char*>(to.data()), &length,
                       in(from), static_cast<int>(from.size())) != 1 ||
      EVP_CipherFinal_ex(context.get(), rest.data(), &rest_length) != 1) {
    OPENSSL_cleanse(to.data(), to.size());
    return base::fail(base::ErrorCode::kUnavailable, "AES-CBC is not available in OpenSSL");
  }
  return {};
}

}  // namespace

base::Result<void> cbc_encrypt(std::span<const std::byte> key, const CbcIv& iv, base::ByteView from,
                               std::span<std::byte> to) {
  return run(true, key, iv, from, to);
}

base::Result<void> cbc_decrypt(std::span<const std::byte> key, const CbcIv& iv, base::ByteView from,
                               std::span<std::byte> to) {
  return run(false, key, iv, from, to);
}

}  // namespace vmgs::crypto
