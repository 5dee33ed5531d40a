// SPDX-License-Identifier: Apache-2.0
#include "vtpm/sealing/host_key.h"

#include <algorithm>
#include <optional>
#include <span>

#include "vmgs/crypto/random.h"
#include "vmgs/storage/private_file.h"

namespace vtpm::sealing {

namespace {

constexpr std::size_t kKeyBytes = 32;
constexpr std::size_t kKeyDigits = 2 * kKeyBytes;
constexpr std::size_t kMostBytes = kKeyDigits + 2;  // and a line end

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

// base::from_hex() would leave the key in memory that nobody wipes.
base::Result<void> decode_digits(base::ByteView digits, std::span<std::byte, kKeyBytes> key) {
  for (std::size_t i = 0; i < kKeyBytes; ++i) {
    const auto high = digit(digits[2 * i]);
    const auto low = digit(digits[2 * i + 1]);
    if (!high || !low) {
      return base::fail(base::ErrorCode::kInvalidArgument, "not hexadecimal");
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
    return base::fail(base::ErrorCode::kInvalidArgument, "of another size");
  }
  return base::Secret<kKeyBytes>::filled_by(
      [&](std::span<std::byte, kKeyBytes> key) { return decode_digits(digits, key); });
}

}  // namespace

base::Result<DatastoreKey> read_host_key(const std::filesystem::path& file, KeyFileKind kind) {
  const auto others = kind == KeyFileKind::kCredential ? vmgs::storage::OtherReaders::kGroup
                                                       : vmgs::storage::OtherReaders::kNone;
  TRY_ASSIGN(content, vmgs::storage::read_private_file(file, others, kMostBytes));
  auto key = decode_key(content.expose());
  if (!key) {
    return base::fail(base::ErrorCode::kInvalidArgument,
                      file.string() + " (" + std::to_string(content.size()) +
                          " bytes) holds no key: expected 32 raw bytes or 64 hexadecimal digits");
  }
  if (key->is_all_zero()) {
    return base::fail(base::ErrorCode::kInvalidArgument,
                      file.string() + " holds 32 zero bytes, which is no key");
  }
  return DatastoreKey{*std::move(key)};
}

base::Result<DatastoreKey> make_host_key(const std::filesystem::path& file) {
  TRY_ASSIGN(key, vmgs::crypto::random_secret<kKeyBytes>());
  TRY(vmgs::storage::create_private_file(file, key.expose()));
  return DatastoreKey{std::move(key)};
}

}  // namespace vtpm::sealing
