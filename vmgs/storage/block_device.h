// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>

#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"

namespace vmgs::storage {

// BlockDevice is where the bytes of one guest-state store lie: a file, a fixed VHD, memory, or in
// tests a disk that lies. It knows nothing of what they mean. One owner at a time; no locking
// inside.
//
// Storage is hostile: two reads of one place may differ. Read once, then decide.
class BlockDevice {
 public:
  virtual ~BlockDevice() = default;

  // size_bytes() is the room for the store, without packaging such as a VHD footer.
  [[nodiscard]] virtual std::uint64_t size_bytes() const = 0;

  // read() fills `out` from `offset`, whole or not at all. kIo if the device refuses or ends
  // early, kInvalidArgument past the end.
  virtual base::Result<void> read(std::uint64_t offset, std::span<std::byte> out) = 0;

  // write() hands over all of `bytes`. They are durable only after the next flush() that
  // succeeds; until then any part of them may be. kIo, kInvalidArgument past the end, kDenied on a
  // device opened read-only.
  virtual base::Result<void> write(std::uint64_t offset, base::ByteView bytes) = 0;

  // flush() makes every write so far durable. After a failed flush the device refuses every later
  // write and flush with kIo: the kernel may have dropped the pages, so a retry would only pretend
  // to succeed.
  virtual base::Result<void> flush() = 0;
};

}  // namespace vmgs::storage
