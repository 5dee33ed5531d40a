// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <memory>

#include "vmgs/storage/block_device.h"

namespace vmgs::storage {

// OverlayDevice keeps in memory what is written to it and reads the rest from the device below,
// which it never writes: what a change would come to is found out by making it here. Takes as much
// memory as is written. One owner.
class OverlayDevice final : public BlockDevice {
 public:
  explicit OverlayDevice(std::unique_ptr<BlockDevice> below) : below_(std::move(below)) {}

  [[nodiscard]] std::uint64_t size_bytes() const override { return below_->size_bytes(); }

  base::Result<void> read(std::uint64_t offset, std::span<std::byte> out) override;
  base::Result<void> write(std::uint64_t offset, base::ByteView bytes) override;

  base::Result<void> flush() override { return {}; }

 private:
  base::Result<base::Bytes*> chunk(std::uint64_t number);

  std::unique_ptr<BlockDevice> below_;
  std::map<std::uint64_t, base::Bytes> chunks_;  // those that were written, by number
};

}  // namespace vmgs::storage
