// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"

namespace vmgs::crypto {

// Base 64 of RFC 4648: section 4 with padding for documents and PEM, section 5 without padding for
// what JOSE carries.
enum class Base64 { kPadded, kUrl };

// encode_base64() gives the text without line breaks.
std::string encode_base64(base::ByteView bytes, Base64 form);

// decode_base64() reads exactly what encode_base64() would have written. kInvalidArgument for other
// characters, missing or extra padding, and bits that would be lost.
base::Result<base::Bytes> decode_base64(std::string_view text, Base64 form);

}  // namespace vmgs::crypto
