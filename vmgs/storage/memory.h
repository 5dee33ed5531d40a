// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <utility>

#include "vmgs/storage/resizable.h"

namespace vmgs::storage {

// MemoryDevice keeps the store in memory. Every write is as durable as it will ever be.
class MemoryDevice final : public ResizableDevice {
 public:
  // A device of `size_bytes` zeros.
  explicit MemoryDevice(std::uint64_t size_bytes) : bytes_(size_bytes) {}

  explicit MemoryDevice(base::Bytes bytes) : bytes_(std::move(bytes)) {}

  [[nodiscard]] std::uint64_t size_bytes() const override { return bytes_.size(); }

  base::Result<void> read(std::uint64_t offset, std::span<std::byte> out) override;
  base::Result<void> write(std::uint64_t offset, base::ByteView bytes) override;

  base::Result<void> flush() override { return {}; }

  base::Result<void> resize(std::uint64_t size_bytes) override {
    bytes_.resize(size_bytes);
    return {};
  }

  // contents() is the whole device, valid until it dies.
  [[nodiscard]] const base::Bytes& contents() const { return bytes_; }

 private:
  base::Bytes bytes_;
};

}  // namespace vmgs::storage
