// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "vmgs/base/result.h"
#include "vmgs/format/vm_id.h"

namespace vtpm::boot {

// new_vm_id() draws a UUID (RFC 4122, 4.4) for a VM that nobody has given one.
base::Result<vmgs::format::VmId> new_vm_id();

}  // namespace vtpm::boot
