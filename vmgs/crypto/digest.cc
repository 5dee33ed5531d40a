// SPDX-License-Identifier: Apache-2.0
#include "vmgs/crypto/digest.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <cstdlib>
#include <memory>

namespace vmgs::crypto {

namespace {

struct ContextDeleter {
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
};

template <std::size_t N>
std::array<std::byte, N> digest(const EVP_MD* algorithm,
                                std::initializer_list<base::ByteView> pieces) {
  std::array<std::byte, N> out{};
  const std::unique_ptr<EVP_MD_CTX, ContextDeleter> context(EVP_MD_CTX_new());
  bool done = context && EVP_DigestInit_ex(context.get(), algorithm, nullptr) == 1;
  for (const auto piece : pieces) {
    done = done && EVP_DigestUpdate(context.get(), piece.data(), piece.size()) == 1;
  }
  unsigned int length = 0;
  done = done && EVP_DigestFinal_ex(context.get(), reinterpret_cast<unsigned char*>(out.data()),
                                    &length) == 1;
  if (!done || length != N) {
    std::abort();
  }
  return out;
}

}  // namespace

Sha1Digest sha1(std::initializer_list<base::ByteView> pieces) {
  return digest<20>(EVP_sha1(), pieces);
}

Sha224Digest sha224(std::initializer_list<base::ByteView> pieces) {
  return digest<28>(EVP_sha224(), pieces);
}

Sha256Digest sha256(std::initializer_list<base::ByteView> pieces) {
  return digest<32>(EVP_sha256(), pieces);
}

Sha384Digest sha384(std::initializer_list<base::ByteView> pieces) {
  return digest<48>(EVP_sha384(), pieces);
}

Sha512Digest sha512(std::initializer_list<base::ByteView> pieces) {
  return digest<64>(EVP_sha512(), pieces);
}

Sha256Digest hmac_sha256(std::span<const std::byte> key, base::ByteView message) {
  Sha256Digest out{};
  unsigned int length = 0;
  if (HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
           reinterpret_cast<const unsigned char*>(message.data()), message.size(),
           reinterpret_cast<unsigned char*>(out.data()), &length) == nullptr ||
      length != out.size()) {
    std::abort();
  }
  return out;
}

bool equal_in_constant_time(base::ByteView a, base::ByteView b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace vmgs::crypto
