// SPDX-License-Identifier: Apache-2.0
#include "vmgs/base/bytes.h"

#include <algorithm>
#include <boost/algorithm/hex.hpp>
#include <iterator>

namespace base {

bool is_all_zero(ByteView bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](std::byte b) { return b == std::byte{0}; });
}

std::string to_hex(ByteView bytes) {
  std::string digits;
  digits.reserve(bytes.size() * 2);
  const auto* first = reinterpret_cast<const unsigned char*>(bytes.data());
  boost::algorithm::hex_lower(first, first + bytes.size(), std::back_inserter(digits));
  return digits;
}

Result<Bytes> from_hex(std::string_view digits) {
  const bool all_hex = std::all_of(digits.begin(), digits.end(), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
  });
  if (digits.size() % 2 != 0 || !all_hex) {
    return fail(ErrorCode::kInvalidArgument, "expected an even number of hexadecimal digits");
  }
  std::vector<unsigned char> raw;
  raw.reserve(digits.size() / 2);
  boost::algorithm::unhex(digits.begin(), digits.end(), std::back_inserter(raw));
  return copy_of(std::as_bytes(std::span(raw)));
}

}  // namespace base
