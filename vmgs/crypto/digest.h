// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <initializer_list>

#include "vmgs/base/bytes.h"
#include "vmgs/base/secret.h"

namespace vmgs::crypto {

using Sha1Digest = std::array<std::byte, 20>;
using Sha224Digest = std::array<std::byte, 28>;
using Sha256Digest = std::array<std::byte, 32>;
using Sha384Digest = std::array<std::byte, 48>;
using Sha512Digest = std::array<std::byte, 64>;

// Digests (FIPS 180-4) of the pieces one after another, as if they were one string. Pure; any
// thread. They end the process if OpenSSL has no such digest, which only a broken installation
// can bring about. sha1() is for reading what others wrote; nothing may rest on it.
Sha1Digest sha1(std::initializer_list<base::ByteView> pieces);
Sha224Digest sha224(std::initializer_list<base::ByteView> pieces);
Sha256Digest sha256(std::initializer_list<base::ByteView> pieces);
Sha384Digest sha384(std::initializer_list<base::ByteView> pieces);
Sha512Digest sha512(std::initializer_list<base::ByteView> pieces);

inline Sha1Digest sha1(base::ByteView bytes) { return sha1({bytes}); }

inline Sha224Digest sha224(base::ByteView bytes) { return sha224({bytes}); }

inline Sha256Digest sha256(base::ByteView bytes) { return sha256({bytes}); }

inline Sha384Digest sha384(base::ByteView bytes) { return sha384({bytes}); }

inline Sha512Digest sha512(base::ByteView bytes) { return sha512({bytes}); }

// hmac_sha256() is HMAC-SHA-256 (RFC 2104) of `message`.
Sha256Digest hmac_sha256(std::span<const std::byte> key, base::ByteView message);

// equal_in_constant_time() compares two public-length values without telling where they differ.
// Values of different length differ.
bool equal_in_constant_time(base::ByteView a, base::ByteView b);

}  // namespace vmgs::crypto
