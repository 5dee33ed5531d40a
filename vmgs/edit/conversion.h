// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "vmgs/base/result.h"
#include "vmgs/format/blocks.h"
#include "vmgs/storage/block_device.h"

namespace vmgs::edit {

// copy_store() puts the store that lies on `from` onto the blank device `to`, block for block, with
// its headers as far apart as `to_spacing` says. Neither key nor order is asked for: what was in
// `from`, damage included, is in `to`; state, commit sequence and digest are the same. It is
// durable on return, the headers last, so that a cut copy is a blank store. kInvalidArgument where
// `to` is shorter than `from`; kIo.
base::Result<void> copy_store(storage::BlockDevice& from, format::HeaderSpacing from_spacing,
                              storage::BlockDevice& to, format::HeaderSpacing to_spacing);

}  // namespace vmgs::edit
