// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <span>

#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"
#include "vmgs/base/secret.h"

namespace vmgs::crypto {

using AeadKey = base::Secret<32>;
using AeadNonce = std::array<std::byte, 12>;
using AeadTag = std::array<std::byte, 16>;

// seal() is AES-256-GCM (NIST SP 800-38D) with a 96-bit nonce and a 128-bit tag. `ciphertext` has
// the size of `plaintext` and may be the same memory. A nonce must never be used twice with one
// key. kInvalidArgument if the sizes differ.
base::Result<AeadTag> seal(const AeadKey& key, const AeadNonce& nonce, base::ByteView additional,
                           base::ByteView plaintext, std::span<std::byte> ciphertext);

// open() is its inverse. kAuthentication if the tag does not verify, and `plaintext` is zeroed.
base::Result<void> open(const AeadKey& key, const AeadNonce& nonce, base::ByteView additional,
                        const AeadTag& tag, base::ByteView ciphertext,
                        std::span<std::byte> plaintext);

}  // namespace vmgs::crypto
