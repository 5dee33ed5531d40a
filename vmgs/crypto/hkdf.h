// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>

#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"
#include "vmgs/base/secret.h"

namespace vmgs::crypto {

// The longest info of hkdf: what OpenSSL takes everywhere.
inline constexpr std::size_t kMostHkdfInfoBytes = 1024;

// hkdf_sha256() and hkdf_sha384() fill `out` by HKDF (RFC 5869), extract then expand, from the
// input keying material `secret`. An empty `salt` is that of section 2.2, a digest of zeros.
// kInvalidArgument for an empty secret, for more info than kMostHkdfInfoBytes, and for an `out`
// that is empty or longer than 255 digests. Any thread.
base::Result<void> hkdf_sha256(std::span<const std::byte> secret, base::ByteView salt,
                               base::ByteView info, std::span<std::byte> out);
base::Result<void> hkdf_sha384(std::span<const std::byte> secret, base::ByteView salt,
                               base::ByteView info, std::span<std::byte> out);

// derive_hkdf_sha256() and derive_hkdf_sha384() are these into a new secret of N bytes.
template <std::size_t N>
base::Result<base::Secret<N>> derive_hkdf_sha256(std::span<const std::byte> secret,
                                                 base::ByteView salt, base::ByteView info) {
  return base::Secret<N>::filled_by(
      [&](std::span<std::byte, N> out) { return hkdf_sha256(secret, salt, info, out); });
}

template <std::size_t N>
base::Result<base::Secret<N>> derive_hkdf_sha384(std::span<const std::byte> secret,
                                                 base::ByteView salt, base::ByteView info) {
  return base::Secret<N>::filled_by(
      [&](std::span<std::byte, N> out) { return hkdf_sha384(secret, salt, info, out); });
}

}  // namespace vmgs::crypto
