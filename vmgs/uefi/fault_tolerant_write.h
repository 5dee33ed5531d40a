// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "vmgs/base/bytes.h"

namespace vmgs::uefi {

// has_pending_write() tells whether firmware will replace a part of the flash when it boots next:
// it rewrites a block by way of a spare one, notes each step in a working block, and takes a write
// up again whose new content lay whole in the spare block when the power went. Whatever was changed
// in between is then lost. `behind_store` is the image behind the variable store, where the first
// working block that is valid counts, as it does for firmware
// (MdeModulePkg/Universal/FaultTolerantWriteDxe of EDK2). False where there is none.
bool has_pending_write(base::ByteView behind_store);

}  // namespace vmgs::uefi
