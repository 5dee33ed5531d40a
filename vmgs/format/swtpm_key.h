// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string_view>

#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"
#include "vmgs/base/secret.h"

namespace vmgs::format {

// The ciphers that swtpm encrypts a TPM's state with; the value is the size of their key in bytes.
enum class SwtpmCipher : std::size_t { kAes128Cbc = 16, kAes256Cbc = 32 };

// parse_swtpm_cipher() reads swtpm's names: "aes-cbc" and "aes-128-cbc" are one, "aes-256-cbc" the
// other. kInvalidArgument for anything else.
base::Result<SwtpmCipher> parse_swtpm_cipher(std::string_view name);

// How swtpm makes a key out of a passphrase.
enum class SwtpmKdf { kPbkdf2, kSha512 };

// parse_swtpm_kdf() reads "pbkdf2" or "sha512". kInvalidArgument for anything else.
base::Result<SwtpmKdf> parse_swtpm_kdf(std::string_view name);

// SwtpmKey is a key that swtpm encrypts a TPM's state with, and authenticates it with as well. It
// has 16 or 32 bytes.
class SwtpmKey {
 public:
  // from_binary() takes the content of a key file as it is: 16 or 32 bytes, and no more than the
  // cipher has. kInvalidArgument otherwise.
  static base::Result<SwtpmKey> from_binary(base::ByteView content, SwtpmCipher cipher);

  // from_hex() takes a key file of hexadecimal digits: "0x" or not, then as many as the cipher's
  // key has, then nothing, or white space and whatever. kInvalidArgument otherwise.
  static base::Result<SwtpmKey> from_hex(base::ByteView content, SwtpmCipher cipher);

  // from_passphrase() takes a file with a passphrase, every byte of it, a line end too.
  static base::Result<SwtpmKey> from_passphrase(base::ByteView content, SwtpmKdf kdf,
                                                SwtpmCipher cipher);

  // clone() is a copy, made on request alone.
  [[nodiscard]] SwtpmKey clone() const;

  [[nodiscard]] std::span<const std::byte> expose() const { return bytes_.expose(); }

  [[nodiscard]] std::size_t size() const { return bytes_.size(); }

 private:
  explicit SwtpmKey(base::SecretBytes bytes) : bytes_(std::move(bytes)) {}

  base::SecretBytes bytes_;
};

}  // namespace vmgs::format
