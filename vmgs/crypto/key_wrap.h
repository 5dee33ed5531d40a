// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"
#include "vmgs/base/secret.h"

namespace vmgs::crypto {

// KeyWrapKey wraps other keys and nothing else.
using KeyWrapKey = base::Secret<32>;

// The longest plaintext: any key that anybody wraps fits, a private RSA-8192 key included.
inline constexpr std::size_t kMostWrappedPlaintextBytes = 16 * 1024;

// wrapped_bytes() is the size of `plaintext_bytes` once wrapped: 40 for a key of 32 bytes.
constexpr std::size_t wrapped_bytes(std::size_t plaintext_bytes) {
  return (plaintext_bytes + 7) / 8 * 8 + 8;
}

// wrap_key() is AES-256 key wrap with padding (RFC 5649; NIST SP 800-38F, KWP-AE). It is
// deterministic: who sees two wrappings sees whether they hold the same key. kInvalidArgument for
// no plaintext or more than kMostWrappedPlaintextBytes. Any thread.
base::Result<base::Bytes> wrap_key(const KeyWrapKey& key, std::span<const std::byte> plaintext);

// unwrap_key() is its inverse (KWP-AD). kCorrupt for a size that no wrapping has, kAuthentication
// for another key or altered bytes, which cannot be told apart. Any thread.
base::Result<base::SecretBytes> unwrap_key(const KeyWrapKey& key, base::ByteView wrapped);

// unwrap_secret() is unwrap_key() for a key that must have N bytes; kCorrupt if it has not.
template <std::size_t N>
base::Result<base::Secret<N>> unwrap_secret(const KeyWrapKey& key, base::ByteView wrapped) {
  TRY_ASSIGN(unwrapped, unwrap_key(key, wrapped));
  if (unwrapped.size() != N) {
    return base::fail(base::ErrorCode::kCorrupt, "AES key wrap: what is wrapped has " +
                                                     std::to_string(unwrapped.size()) +
                                                     " bytes, not " + std::to_string(N));
  }
  return base::Secret<N>::copy_of(unwrapped.expose().template first<N>());
}

}  // namespace vmgs::crypto
