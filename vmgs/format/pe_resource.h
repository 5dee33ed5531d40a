// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string_view>

#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"

namespace vmgs::format {

// find_pe_resource() is a view of one resource of a PE image (Microsoft PE/COFF specification,
// .rsrc section): of the type that is called `type` (ASCII, compared without case) and the number
// `number`, in the first language that it is there in. This is how firmware for GUEST_FIRMWARE (8)
// is shipped: type "VMFW" in a DLL. kNotFound if the image has no such resource, kCorrupt for what
// is no PE image or one whose tables lead out of it.
base::Result<base::ByteView> find_pe_resource(base::ByteView image, std::string_view type,
                                              std::uint32_t number);

}  // namespace vmgs::format
