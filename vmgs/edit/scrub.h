// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "vmgs/base/result.h"
#include "vmgs/format/blocks.h"
#include "vmgs/storage/block_device.h"

namespace vmgs::edit {

// scrub() writes zeros over all that neither generation of a store uses: free blocks, and what lies
// behind the end of a file in its last blocks. It gives how many blocks were free. Both generations
// read afterwards as they did before. Nobody may have the store open for writing meanwhile.
// kCorrupt where a header or a file table cannot be read: then nobody knows what is free, and
// nothing is written; kIo.
base::Result<std::uint64_t> scrub(storage::BlockDevice& device, format::HeaderSpacing spacing);

}  // namespace vmgs::edit
