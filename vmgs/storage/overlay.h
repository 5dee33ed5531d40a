// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "vmgs/format/blocks.h"
#include "vmgs/storage/resizable.h"

namespace vmgs::storage {

// Operation is one thing that was done to an Overlay.
struct Operation {
  enum class Kind { kWrite, kFlush, kResize };

  Kind kind = Kind::kFlush;
  std::uint64_t offset = 0;  // of kResize: the new length
  base::Bytes bytes = {};
};

// apply() does one of them to a device.
base::Result<void> apply(ResizableDevice& device, const Operation& operation);

// Overlay looks like a device that can be changed, and changes nothing: what is written is kept in
// memory, and noted, so that a change can be tried, judged, and then carried out as it was tried.
// It takes about twice the memory of what is written. One owner.
class Overlay final : public ResizableDevice {
 public:
  // The device underneath must outlive the overlay and its copies, and must not change.
  explicit Overlay(BlockDevice& under)
      : under_(&under), size_(under.size_bytes()), kept_of_under_(size_) {}

  // The same, and the overlay and its copies own it.
  explicit Overlay(std::unique_ptr<BlockDevice> under) : Overlay(*under) {
    owned_ = std::move(under);
  }

  [[nodiscard]] std::uint64_t size_bytes() const override { return size_; }

  base::Result<void> read(std::uint64_t offset, std::span<std::byte> out) override;
  base::Result<void> write(std::uint64_t offset, base::ByteView bytes) override;
  base::Result<void> flush() override;
  base::Result<void> resize(std::uint64_t size_bytes) override;

  // take_operations() is what was done since the last time, in order.
  [[nodiscard]] std::vector<Operation> take_operations() { return std::exchange(operations_, {}); }

  // A copy is another overlay with the same changes: copy before a try, assign to take it back.
  Overlay(const Overlay&) = default;
  Overlay& operator=(const Overlay&) = default;

 private:
  using Page = std::shared_ptr<const base::Bytes>;  // kBlockBytes long

  base::Result<base::Bytes> page(std::uint64_t index);

  std::shared_ptr<BlockDevice> owned_;
  BlockDevice* under_;
  std::uint64_t size_;
  std::uint64_t kept_of_under_;  // behind this, the device underneath is cut off
  std::map<std::uint64_t, Page> pages_;
  std::vector<Operation> operations_;
};

}  // namespace vmgs::storage
