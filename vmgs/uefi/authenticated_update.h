// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"
#include "vmgs/uefi/variable.h"

namespace vmgs::uefi {

// AuthenticatedUpdate is what vendors sign and firmware takes for a time-based authenticated
// variable: an EFI_VARIABLE_AUTHENTICATION_2 (UEFI 8.2.2) and the content behind it, as in the
// dbxupdate.bin of the UEFI Forum. Nobody has verified it.
struct AuthenticatedUpdate {
  std::array<std::byte, 16> time{};  // the EFI_TIME that is signed, byte for byte
  base::Bytes signed_data;           // PKCS #7, DER: a SignedData, with or without a ContentInfo
  base::Bytes payload;               // the content: for PK, KEK, db and dbx signature lists

  [[nodiscard]] Timestamp timestamp() const;

  friend bool operator==(const AuthenticatedUpdate&, const AuthenticatedUpdate&) = default;
};

// is_authenticated_update() tells such bytes from bare signature lists, by the header alone.
bool is_authenticated_update(base::ByteView bytes);

// decode_authenticated_update() reads one. kCorrupt for another revision or type of certificate,
// lengths that do not fit, and a time whose unused fields are not zero, which firmware refuses.
base::Result<AuthenticatedUpdate> decode_authenticated_update(base::ByteView bytes);

// encode() is its inverse.
base::Bytes encode(const AuthenticatedUpdate& update);

// signed_content() is what the signature of `update` is over (UEFI 8.2.2): name without its zero,
// vendor, attributes, time, payload. `attributes` are those of the call that sets the variable,
// with APPEND_WRITE for an update that appends.
base::Bytes signed_content(const AuthenticatedUpdate& update, const Guid& vendor,
                           std::u16string_view name, std::uint32_t attributes);

}  // namespace vmgs::uefi
