// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"

namespace vmgs::crypto {

// pbkdf2_sha512() fills `out` by PBKDF2 (RFC 8018, 5.2) with HMAC-SHA-512. It exists to read what
// others protect by a passphrase; nothing of ours rests on one. kInvalidArgument for no rounds or
// an empty `out`. Any thread.
base::Result<void> pbkdf2_sha512(std::span<const std::byte> passphrase, base::ByteView salt,
                                 std::uint32_t rounds, std::span<std::byte> out);

}  // namespace vmgs::crypto
