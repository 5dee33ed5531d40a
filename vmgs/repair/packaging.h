// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "vmgs/base/result.h"
#include "vmgs/format/header_spacing.h"
#include "vmgs/repair/plan.h"
#include "vmgs/storage/block_device.h"
#include "vmgs/volume/finding.h"

namespace vmgs::repair {

// Packaging is where in a whole file the store lies.
struct Packaging {
  bool is_fixed_vhd = false;
  std::uint64_t store_bytes = 0;
  format::HeaderSpacing spacing = format::HeaderSpacing::k512;
  std::vector<volume::Finding> findings;  // about the packaging alone
};

// find_packaging() decides as storage::open_container() does, by the bytes alone. kCorrupt and
// kDenied where that refuses; kIo.
base::Result<Packaging> find_packaging(storage::BlockDevice& whole, const Patient& patient);

}  // namespace vmgs::repair
