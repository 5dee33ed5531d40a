// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include <memory>
#include <string>

#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"

// What the sources of this room share. Its other headers show no OpenSSL.
namespace keybroker::crypto::openssl {

template <auto Free>
struct Freed {
  template <typename T>
  void operator()(T* object) const {
    Free(object);
  }
};

using Bignum = std::unique_ptr<BIGNUM, Freed<BN_free>>;
using Key = std::unique_ptr<EVP_PKEY, Freed<EVP_PKEY_free>>;
using KeyContext = std::unique_ptr<EVP_PKEY_CTX, Freed<EVP_PKEY_CTX_free>>;
using DigestContext = std::unique_ptr<EVP_MD_CTX, Freed<EVP_MD_CTX_free>>;

inline const unsigned char* in(base::ByteView bytes) {
  return reinterpret_cast<const unsigned char*>(bytes.data());
}

inline base::ByteView view(const unsigned char* bytes, int size) {
  return std::as_bytes(std::span(bytes, static_cast<std::size_t>(size)));
}

// encoded() runs one of the i2d functions twice: for the size, then for the bytes.
template <typename Encode, typename T>
base::Bytes encoded(Encode encode, T* object) {
  const int size = encode(object, nullptr);
  base::Bytes bytes(static_cast<std::size_t>(size < 0 ? 0 : size));
  auto* out = reinterpret_cast<unsigned char*>(bytes.data());
  if (size > 0) {
    encode(object, &out);
  }
  return bytes;
}

// ClearedErrors empties the thread's error queue when it dies: what one request left there must
// not colour the next.
class ClearedErrors {
 public:
  ClearedErrors() { ERR_clear_error(); }

  ClearedErrors(const ClearedErrors&) = delete;
  ClearedErrors& operator=(const ClearedErrors&) = delete;

  ~ClearedErrors() { ERR_clear_error(); }

  // last() is the newest error as text.
  [[nodiscard]] static std::string last() {
    const char* reason = ERR_reason_error_string(ERR_peek_last_error());
    return reason == nullptr ? "no reason given" : reason;
  }
};

}  // namespace keybroker::crypto::openssl
