// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "vmgs/storage/block_device.h"

namespace vmgs::repair {

// Window is the first bytes of another device, as packaging leaves them to the store.
class Window final : public storage::BlockDevice {
 public:
  Window(storage::BlockDevice& whole, std::uint64_t size_bytes)
      : whole_(&whole), size_(size_bytes) {}

  [[nodiscard]] std::uint64_t size_bytes() const override { return size_; }

  base::Result<void> read(std::uint64_t offset, std::span<std::byte> out) override;
  base::Result<void> write(std::uint64_t offset, base::ByteView bytes) override;

  base::Result<void> flush() override { return whole_->flush(); }

 private:
  storage::BlockDevice* whole_;
  std::uint64_t size_;
};

}  // namespace vmgs::repair
