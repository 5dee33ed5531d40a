// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"
#include "vmgs/uefi/variable.h"

namespace vmgs::uefi {

// Flash is what EDK2 keeps in a variable flash: a firmware volume (UEFI PI 1.7, volume 3, 3.2.1)
// with a variable store in it (MdeModulePkg/Include/Guid/VariableFormat.h). Behind the store lies
// the working space of fault-tolerant writes, which nobody has to look at to know the variables.
struct Flash {
  bool is_authenticated = false;  // its variables have times and may be signed
  std::uint64_t store_bytes = 0;  // of the variable store
  std::uint64_t used_bytes = 0;   // of it, deleted variables included
  std::vector<Variable> variables;

  // Where the store begins in the image, and where each of `variables` does.
  std::size_t store_at = 0;
  std::vector<std::size_t> variables_at = {};
};

// decode_flash() reads the raw image of a flash. kNotFound for one in which no firmware has made a
// store yet; kCorrupt for one whose headers are none, or whose variables reach beyond the store.
base::Result<Flash> decode_flash(base::ByteView image);

}  // namespace vmgs::uefi
