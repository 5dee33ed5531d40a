// SPDX-License-Identifier: Apache-2.0
#include "vtpm/boot/new_vm_id.h"

#include "vmgs/crypto/random.h"

namespace vtpm::boot {

base::Result<vmgs::format::VmId> new_vm_id() {
  vmgs::format::VmId id;
  TRY(vmgs::crypto::random_bytes(id.bytes));
  id.bytes[6] = (id.bytes[6] & std::byte{0x0f}) | std::byte{0x40};
  id.bytes[8] = (id.bytes[8] & std::byte{0x3f}) | std::byte{0x80};
  return id;
}

}  // namespace vtpm::boot
