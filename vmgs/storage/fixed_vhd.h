// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "vmgs/format/vhd_footer.h"
#include "vmgs/storage/block_device.h"

namespace vmgs::storage {

// FixedVhdDevice is the disk inside a fixed VHD: it hides the footer, and whatever lies between the
// disk's end and the footer.
class FixedVhdDevice final : public BlockDevice {
 public:
  // open() reads the footer from the last 512 bytes of `file`. Errors as decode_vhd_footer().
  static base::Result<std::unique_ptr<FixedVhdDevice>> open(std::unique_ptr<BlockDevice> file);

  // create() writes the footer of a new disk, with a random unique id, into the last 512 bytes of
  // `file`; the disk is all that comes before. It is durable after the next flush().
  // kInvalidArgument if `file` is shorter than a footer or not a multiple of 512 bytes long.
  static base::Result<std::unique_ptr<FixedVhdDevice>> create(std::unique_ptr<BlockDevice> file);

  [[nodiscard]] std::uint64_t size_bytes() const override { return footer_.disk_bytes(); }

  base::Result<void> read(std::uint64_t offset, std::span<std::byte> out) override;
  base::Result<void> write(std::uint64_t offset, base::ByteView bytes) override;

  base::Result<void> flush() override { return file_->flush(); }

  [[nodiscard]] const format::VhdFooter& footer() const { return footer_; }

 private:
  FixedVhdDevice(std::unique_ptr<BlockDevice> file, format::VhdFooter footer);

  std::unique_ptr<BlockDevice> file_;
  format::VhdFooter footer_;
};

}  // namespace vmgs::storage
