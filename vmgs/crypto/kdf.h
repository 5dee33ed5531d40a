// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>

#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"
#include "vmgs/base/secret.h"

namespace vmgs::crypto {

// kbkdf() fills `out` by SP 800-108 in counter mode with HMAC-SHA-256: 32-bit big-endian counter
// before the data, label, one zero byte, context, output length in bits as 32 bits big-endian.
// kInvalidArgument for an empty key or an empty `out`. Any thread.
base::Result<void> kbkdf(std::span<const std::byte> key, base::ByteView label,
                         base::ByteView context, std::span<std::byte> out);

// derive() is kbkdf() into a new secret of N bytes.
template <std::size_t N>
base::Result<base::Secret<N>> derive(std::span<const std::byte> key, base::ByteView label,
                                     base::ByteView context) {
  return base::Secret<N>::filled_by(
      [&](std::span<std::byte, N> out) { return kbkdf(key, label, context, out); });
}

}  // namespace vmgs::crypto
