// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string_view>

#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"
#include "vmgs/uefi/flash.h"
#include "vmgs/uefi/variable.h"

namespace vmgs::uefi {

// with_variable() is the image after firmware has set `variable`: added behind the others, and what
// it replaces marked as deleted. Where that takes more room than there is, the store is first
// packed as firmware packs it, without what is deleted. Nothing outside the variable store changes.
// The state of `variable` does not matter. kInvalidArgument for a variable without a name or
// content; kDenied if there is no room, saying how much there is, and if a write of firmware's own
// is pending (fault_tolerant_write.h), which would undo this one; errors of decode_flash().
base::Result<base::Bytes> with_variable(base::ByteView image, const Variable& variable);

// without_variable() is the image after firmware has deleted a variable. kNotFound if there is none
// of that name; kDenied if a write of firmware's own is pending; errors of decode_flash().
base::Result<base::Bytes> without_variable(base::ByteView image, const Guid& vendor,
                                           std::u16string_view name);

// packed_image() is the image after firmware has packed the store: without what is deleted. kDenied
// if a write of firmware's own is pending; errors of decode_flash().
base::Result<base::Bytes> packed_image(base::ByteView image);

// packed_bytes() is what the variables that are not deleted take, with the header of the store.
std::uint64_t packed_bytes(const Flash& flash);

}  // namespace vmgs::uefi
