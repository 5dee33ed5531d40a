// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"
#include "vmgs/format/file_id.h"

namespace vmgs::format {

// OWNERSHIP, beside the ids of file_id.h: 52.
inline constexpr FileId kOwnershipFile{52};

// Whether the TPM in a store may be powered on from it.
enum class Standing : std::uint8_t {
  kOwned = 0,    // yes
  kOffered = 1,  // its state has left for another host, and is not this store's any more
};

// What a host that awaits a TPM is known by.
using TicketId = std::array<std::byte, 16>;

// Ownership is what OWNERSHIP (52) says of the state beside it. A store without that file is owned,
// in the first epoch. It is written in the commits in which it changes, and in no others.
struct Ownership {
  std::uint64_t epoch = 1;  // counts the hosts that have owned this TPM, one after the other
  Standing standing = Standing::kOwned;

  // By which the state came here, was offered, or was given back last; zero where it was made.
  TicketId ticket{};

  // SHA-256 of the secret with which the other host gives the state back, while it is offered.
  std::array<std::byte, 32> release_digest{};

  friend bool operator==(const Ownership&, const Ownership&) = default;
};

// Bytes, little-endian: magic "SROW", u32 version 1, u64 epoch, u8 standing, 7 zero, ticket 16,
// release digest 32.
inline constexpr std::size_t kOwnershipBytes = 72;
base::Bytes encode_ownership(const Ownership& ownership);

// decode_ownership() accepts exactly what encode_ownership() gives of an ownership that there can
// be. kCorrupt names the field otherwise.
base::Result<Ownership> decode_ownership(base::ByteView bytes);

}  // namespace vmgs::format
