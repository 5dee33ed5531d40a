// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>

#include "keybroker/hsm/key_encryption.h"
#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"
#include "vmgs/crypto/aead.h"

namespace keybroker::hsm {

// WrappedKey is a secret of 32 bytes under a key-encryption key, by AES-256-GCM (NIST SP 800-38D)
// with a random nonce. Software and tokens write the same 61 bytes:
//
//   offset  size
//        0     1  form, 1
//        1    12  nonce
//       13    32  ciphertext
//       45    16  tag
//
// The additional data is wrapped_key_context().
struct WrappedKey {
  vmgs::crypto::AeadNonce nonce{};
  std::array<std::byte, 32> ciphertext{};
  vmgs::crypto::AeadTag tag{};
};

inline constexpr std::size_t kWrappedKeyBytes = 61;

base::Bytes encode(const WrappedKey& wrapped);

// decode_wrapped_key() fails with kCorrupt for another size or form.
base::Result<WrappedKey> decode_wrapped_key(base::ByteView bytes);

// wrapped_key_context() is the additional data: "strongroom.wrapped-key/1", a zero byte, the 16
// bytes of the tenant, then `context` to the end.
base::Bytes wrapped_key_context(const Uuid& tenant, base::ByteView context);

}  // namespace keybroker::hsm
