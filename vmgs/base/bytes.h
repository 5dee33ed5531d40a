// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "vmgs/base/result.h"

namespace base {

using Bytes = std::vector<std::byte>;
using ByteView = std::span<const std::byte>;

// bytes_of() views text as bytes. The view ends with the text.
inline ByteView bytes_of(std::string_view text) { return std::as_bytes(std::span(text)); }

// copy_of() returns an owned copy of `bytes`.
inline Bytes copy_of(ByteView bytes) { return Bytes(bytes.begin(), bytes.end()); }

// is_all_zero() tells whether every byte is zero; true of nothing.
bool is_all_zero(ByteView bytes);

// to_hex() gives two lower-case digits a byte.
std::string to_hex(ByteView bytes);

// from_hex() reads two digits a byte, of either case. kInvalidArgument on anything else.
Result<Bytes> from_hex(std::string_view digits);

}  // namespace base
