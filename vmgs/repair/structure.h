// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

#include "vmgs/base/result.h"
#include "vmgs/format/header.h"
#include "vmgs/repair/report.h"
#include "vmgs/storage/block_device.h"

namespace vmgs::repair {

// examine_header() reports what a valid header says against itself, and what is worth knowing.
void examine_header(const format::Header& header, std::size_t slot, Report& report);

// examine_file_table() reads the file table that `header` names and reports everything about its
// structure; decode_file_table() stops at the first fault. kIo if it cannot be read.
base::Result<void> examine_file_table(storage::BlockDevice& device, const format::Header& header,
                                      Report& report);

}  // namespace vmgs::repair
