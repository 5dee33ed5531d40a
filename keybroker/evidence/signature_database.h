// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"

namespace keybroker::evidence {

// A GUID as UEFI keeps it in memory.
using EfiGuid = std::array<std::byte, 16>;

// UEFI_VARIABLE_DATA (TCG PC Client Platform Firmware Profile, 10.4.4.2): what firmware measures
// when it reads a variable.
struct EfiVariable {
  EfiGuid guid{};
  std::u16string name;
  base::Bytes content;

  // plain_name() is the name with a '?' for all that is not ASCII.
  [[nodiscard]] std::string plain_name() const;

  friend bool operator==(const EfiVariable&, const EfiVariable&) = default;
};

// decode_efi_variable() reads one. `stray` bytes may follow it, as some shims leave one behind.
// kCorrupt for lengths that do not fit, whatever their 64 bits say.
base::Result<EfiVariable> decode_efi_variable(base::ByteView bytes, std::size_t stray = 0);

// encode() writes one.
base::Bytes encode(const EfiVariable& variable);

// One entry of a signature database: a certificate, or the hash of something.
struct EfiSignature {
  EfiGuid type{};
  EfiGuid owner{};
  base::Bytes content;

  [[nodiscard]] bool is_certificate() const;
  [[nodiscard]] bool is_sha256() const;

  friend bool operator==(const EfiSignature&, const EfiSignature&) = default;
};

inline constexpr std::size_t kMaxEfiSignatures = 65536;

// decode_signature_database() reads the content of PK, KEK, db or dbx: EFI_SIGNATURE_LISTs one
// after another (UEFI 32.4.1). kCorrupt for sizes that do not fit each other or the buffer.
base::Result<std::vector<EfiSignature>> decode_signature_database(base::ByteView bytes);

// encode_signature_database() writes each entry as a list of its own.
base::Bytes encode_signature_database(const std::vector<EfiSignature>& signatures);

}  // namespace keybroker::evidence
