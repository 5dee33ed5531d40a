// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "vmgs/repair/report.h"
#include "vmgs/storage/block_device.h"
#include "vmgs/volume/generation.h"

namespace vmgs::repair {

// examine_extended_table() reports what the opened extended table of an unlocked generation says,
// and where it and the file table disagree.
void examine_extended_table(const volume::Generation& generation, Report& report);

// examine_unsealed_files() reads every file that needs no key and reports those that do not read.
// For an unlocked generation choose() has done that already.
void examine_unsealed_files(storage::BlockDevice& device, const volume::Generation& generation,
                            Report& report);

// examine_known_files() reports files that read but are not what their id says.
void examine_known_files(storage::BlockDevice& device, const volume::Generation& generation,
                         Report& report);

}  // namespace vmgs::repair
