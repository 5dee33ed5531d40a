// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "vmgs/base/result.h"
#include "vmgs/format/blocks.h"
#include "vmgs/format/header.h"
#include "vmgs/storage/block_device.h"

namespace vmgs::volume {

// One of the two header slots as it was read.
struct HeaderSlot {
  bool blank = false;  // its 168 bytes are zero
  base::Result<format::Header> header;
};

using HeaderSlots = std::array<HeaderSlot, 2>;

// read_header_slots() reads both headers, once. kNotFound for a blank store (never formatted),
// kDenied for a version-1 store (GPT partitioned, not supported), kCorrupt for a device shorter
// than two blocks, kIo from the device. Slots that are merely wrong come back as they are.
base::Result<HeaderSlots> read_header_slots(storage::BlockDevice& device,
                                            format::HeaderSpacing spacing);

// Which slot holds the newer generation, and which the one before it, if that is there.
struct HeaderOrder {
  std::size_t newest = 0;
  std::optional<std::size_t> older;
};

// order_headers() picks the newest: the valid one whose sequence follows the other's, or the only
// valid one. kCorrupt if none is valid or the two are not neighbours.
base::Result<HeaderOrder> order_headers(const HeaderSlots& slots);

// write_header() puts a header into its slot, zero to the end of the sector. Not flushed.
base::Result<void> write_header(storage::BlockDevice& device, format::HeaderSpacing spacing,
                                std::size_t slot, const format::Header& header);

// clear_header() makes a slot blank. Not flushed.
base::Result<void> clear_header(storage::BlockDevice& device, format::HeaderSpacing spacing,
                                std::size_t slot);

}  // namespace vmgs::volume
