// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>

#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"

namespace transport::nbd {

// BlockExport is what a client reads and writes: an array of bytes of a size that never changes.
// Called on the server's thread only; all but tend() between begin() and end().
class BlockExport {
 public:
  using Clock = std::chrono::steady_clock;

  virtual ~BlockExport() = default;

  // begin() is told when a client comes, end() when it has gone. Where begin() fails there is
  // nothing to export, and the client is sent away.
  virtual base::Result<void> begin() = 0;
  virtual void end() = 0;

  [[nodiscard]] virtual std::uint64_t size_bytes() const = 0;

  // The range lies within the size.
  virtual base::Result<void> read(std::uint64_t offset, std::span<std::byte> into) = 0;
  virtual base::Result<void> write(std::uint64_t offset, base::ByteView bytes) = 0;

  // flush() returns when all that was written before is durable.
  virtual base::Result<void> flush() = 0;

  // tend() does what is due by now, and says when there will be more; nothing if there is nothing
  // to wait for.
  virtual std::optional<Clock::time_point> tend(Clock::time_point now) = 0;
};

}  // namespace transport::nbd
