// SPDX-License-Identifier: Apache-2.0
#include "vmgs/volume/datastore_key.h"

#include <optional>
#include <span>
#include <string>
#include <utility>

namespace vmgs::volume {

namespace {

constexpr std::size_t kKeyBytes = 32;
constexpr std::size_t kKeyDigits = 2 * kKeyBytes;
static_assert(kMostKeyFileBytes == kKeyDigits + 2);

std::optional<unsigned> digit(std::byte character) {
  const auto value = std::to_integer<unsigned>(character);
  if (value >= '0' && value <= '9') {
    return value - '0';
  }
  if (value >= 'a' && value <= 'f') {
    return value - 'a' + 10;
  }
  if (value >= 'A' && value <= 'F') {
    return value - 'A' + 10;
  }
  return std::nullopt;
}

base::ByteView without_line_end(base::ByteView text) {
  if (!text.empty() && text.back() == std::byte{'\n'}) {
    text = text.first(text.size() - 1);
    if (!text.empty() && text.back() == std::byte{'\r'}) {
      text = text.first(text.size() - 1);
    }
  }
  return text;
}

tl::unexpected<base::Error> not_a_key(std::size_t size) {
  return base::fail(
      base::ErrorCode::kInvalidArgument,
      std::to_string(size) + " bytes are no key: expected 32 raw bytes or 64 hexadecimal digits");
}

// base::from_hex() would leave the key in memory that nobody wipes.
base::Result<void> decode_digits(base::ByteView digits, std::span<std::byte, kKeyBytes> key) {
  for (std::size_t i = 0; i < kKeyBytes; ++i) {
    const auto high = digit(digits[2 * i]);
    const auto low = digit(digits[2 * i + 1]);
    if (!high || !low) {
      return not_a_key(digits.size());
    }
    key[i] = static_cast<std::byte>(*high * 16 + *low);
  }
  return {};
}

base::Result<base::Secret<kKeyBytes>> decode_key(base::ByteView content) {
  if (content.size() == kKeyBytes) {
    return base::Secret<kKeyBytes>::copy_of(content.first<kKeyBytes>());
  }
  const auto digits = without_line_end(content);
  if (digits.size() != kKeyDigits) {
    return not_a_key(content.size());
  }
  return base::Secret<kKeyBytes>::filled_by(
      [&](std::span<std::byte, kKeyBytes> key) { return decode_digits(digits, key); });
}

}  // namespace

base::Result<DatastoreKey> parse_datastore_key(base::ByteView content) {
  TRY_ASSIGN(key, decode_key(content));
  if (key.is_all_zero()) {
    return base::fail(base::ErrorCode::kInvalidArgument, "32 zero bytes are no key");
  }
  return DatastoreKey{std::move(key)};
}

}  // namespace vmgs::volume
