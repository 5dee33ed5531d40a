// SPDX-License-Identifier: Apache-2.0
#include "vmgs/format/swtpm_key.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "vmgs/crypto/digest.h"
#include "vmgs/crypto/pbkdf2.h"

namespace vmgs::format {

namespace {

// swtpm(8), --key, and what it has done since 0.2: one salt for all.
constexpr std::string_view kSalt = "swtpm";
constexpr std::uint32_t kRounds = 1000;

tl::unexpected<base::Error> no_key(std::string why) {
  return base::fail(base::ErrorCode::kInvalidArgument, std::move(why));
}

bool is_space(std::byte character) {
  const auto code = std::to_integer<char>(character);
  return code == ' ' || (code >= '\t' && code <= '\r');
}

std::optional<unsigned> digit_of(std::byte character) {
  const auto code = std::to_integer<char>(character);
  if (code >= '0' && code <= '9') {
    return static_cast<unsigned>(code - '0');
  }
  const char lower = static_cast<char>(code | 0x20);
  if (lower >= 'a' && lower <= 'f') {
    return static_cast<unsigned>(lower - 'a' + 10);
  }
  return std::nullopt;
}

}  // namespace

base::Result<SwtpmCipher> parse_swtpm_cipher(std::string_view name) {
  if (name == "aes-cbc" || name == "aes-128-cbc") {
    return SwtpmCipher::kAes128Cbc;
  }
  if (name == "aes-256-cbc") {
    return SwtpmCipher::kAes256Cbc;
  }
  return no_key("unknown encryption mode '" + std::string(name) +
                "'; there are aes-cbc, aes-128-cbc and aes-256-cbc");
}

base::Result<SwtpmKdf> parse_swtpm_kdf(std::string_view name) {
  if (name == "pbkdf2") {
    return SwtpmKdf::kPbkdf2;
  }
  if (name == "sha512") {
    return SwtpmKdf::kSha512;
  }
  return no_key("unknown kdf '" + std::string(name) + "'; there are pbkdf2 and sha512");
}

SwtpmKey SwtpmKey::clone() const {
  base::SecretBytes bytes(bytes_.size());
  std::copy(bytes_.expose().begin(), bytes_.expose().end(), bytes.fill().begin());
  return SwtpmKey(std::move(bytes));
}

base::Result<SwtpmKey> SwtpmKey::from_binary(base::ByteView content, SwtpmCipher cipher) {
  const bool has_size = content.size() == static_cast<std::size_t>(SwtpmCipher::kAes128Cbc) ||
                        content.size() == static_cast<std::size_t>(SwtpmCipher::kAes256Cbc);
  if (!has_size || content.size() > static_cast<std::size_t>(cipher)) {
    return no_key("a binary key has 16 bytes, or 32 for aes-256-cbc; this one has " +
                  std::to_string(content.size()));
  }
  base::SecretBytes bytes(content.size());
  std::copy(content.begin(), content.end(), bytes.fill().begin());
  return SwtpmKey(std::move(bytes));
}

base::Result<SwtpmKey> SwtpmKey::from_hex(base::ByteView content, SwtpmCipher cipher) {
  if (content.size() >= 2 && content[0] == std::byte{'0'} && content[1] == std::byte{'x'}) {
    content = content.subspan(2);
  }
  const auto digits = content.first(static_cast<std::size_t>(
      std::find_if(content.begin(), content.end(), is_space) - content.begin()));
  base::SecretBytes bytes(static_cast<std::size_t>(cipher));
  if (digits.size() != 2 * bytes.size()) {
    return no_key("a key for this mode has " + std::to_string(2 * bytes.size()) +
                  " hexadecimal digits; this one has " + std::to_string(digits.size()));
  }
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    const auto high = digit_of(digits[2 * i]);
    const auto low = digit_of(digits[2 * i + 1]);
    if (!high || !low) {
      return no_key("the key holds something that is no hexadecimal digit");
    }
    bytes.fill()[i] = static_cast<std::byte>(*high << 4 | *low);
  }
  return SwtpmKey(std::move(bytes));
}

base::Result<SwtpmKey> SwtpmKey::from_passphrase(base::ByteView content, SwtpmKdf kdf,
                                                 SwtpmCipher cipher) {
  base::SecretBytes bytes(static_cast<std::size_t>(cipher));
  if (kdf == SwtpmKdf::kPbkdf2) {
    TRY(crypto::pbkdf2_sha512(content, base::bytes_of(kSalt), kRounds, bytes.fill()));
  } else {
    const auto digest = base::SecretBytes::taking(base::copy_of(crypto::sha512(content)));
    std::copy_n(digest.expose().begin(), bytes.size(), bytes.fill().begin());
  }
  return SwtpmKey(std::move(bytes));
}

}  // namespace vmgs::format
