// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "vmgs/storage/block_device.h"

namespace vmgs::storage {

// ResizableDevice is a BlockDevice whose end can be moved, as that of a regular file can.
class ResizableDevice : public BlockDevice {
 public:
  // resize() makes the device `size_bytes` long: what lies behind a nearer end is lost, what a
  // farther one brings is zero. Durable after the next flush(). kDenied for a block device or one
  // that was opened read-only, kIo.
  virtual base::Result<void> resize(std::uint64_t size_bytes) = 0;
};

}  // namespace vmgs::storage
