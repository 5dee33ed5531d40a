// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"
#include "vmgs/format/vm_id.h"

namespace vmgs::format {

using BootId = std::array<std::byte, 16>;

// Anchor is one point of a VM's history as a witness knows it: the epoch, the commit sequence S and
// the state digest D(S).
struct Anchor {
  std::uint64_t epoch = 0;
  std::uint64_t sequence = 0;
  std::array<std::byte, 32> digest{};

  friend bool operator==(const Anchor&, const Anchor&) = default;
};

// Record is what an instance keeps in the encrypted file RECORD (49) so that a later state of a VM
// proves which earlier one it descends from. It is rewritten only when one of its fields changes,
// in a commit that is made anyway. With no witness only vm_id and boot_id say something.
struct Record {
  VmId vm_id;
  std::uint64_t epoch = 0;          // claims of this VM so far; 0 without a witness
  BootId boot_id{};                 // drawn at each boot
  std::optional<Anchor> acked;      // the last anchor the witness acknowledged
  std::optional<Anchor> pending;    // the one that was sent and not yet acknowledged
  base::Bytes receipt;              // the last signed receipt, empty if none
  std::uint64_t offline_boots = 0;  // boots without the witness since the last with it
  std::uint64_t restores = 0;       // authorised restores of an older state

  friend bool operator==(const Record&, const Record&) = default;
};

inline constexpr std::size_t kMaxReceiptBytes = 16 * 1024;

// Bytes, little-endian: magic "SRRC", u32 version 1, vm_id 16, u64 epoch, boot_id 16, acked 49,
// pending 49 (u8 present 0 or 1, u64 epoch, u64 sequence, digest 32; zero when absent), u64 offline
// boots, u64 restores, u32 receipt length, receipt.
base::Bytes encode_record(const Record& record);

// decode_record() accepts exactly what encode_record() gives. kCorrupt names the field otherwise.
base::Result<Record> decode_record(base::ByteView bytes);

}  // namespace vmgs::format
