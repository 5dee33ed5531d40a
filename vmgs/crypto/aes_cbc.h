// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <span>

#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"
#include "vmgs/base/secret.h"

namespace vmgs::crypto {

using CbcKey = base::Secret<32>;
using CbcIv = std::array<std::byte, 16>;

// AES-CBC (NIST SP 800-38A) of whole 16-byte blocks, without padding and without authentication: it
// exists for the HW_KEY_PROTECTOR of other makers and for the state of swtpm, which carry a MAC
// beside it. New formats use seal(). The key has 16 or 32 bytes, for AES-128 or AES-256. `to` has
// the size of `from` and may be the same memory. kInvalidArgument for a key of another size, and if
// the sizes differ or are no multiple of 16.
base::Result<void> cbc_encrypt(std::span<const std::byte> key, const CbcIv& iv, base::ByteView from,
                               std::span<std::byte> to);

// cbc_decrypt() is its inverse. It cannot tell a wrong key: verify the MAC first.
base::Result<void> cbc_decrypt(std::span<const std::byte> key, const CbcIv& iv, base::ByteView from,
                               std::span<std::byte> to);

}  // namespace vmgs::crypto
