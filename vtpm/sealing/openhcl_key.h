// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"
#include "vmgs/volume/datastore_key.h"
#include "vtpm/tee/tee.h"

namespace vtpm::sealing {

using vmgs::volume::DatastoreKey;

// open_hw_key_protector() opens a HW_KEY_PROTECTOR (file 11, version 2 or 3) that OpenHCL wrote.
// `vm_configuration` is the vm-configuration JSON of its runtime claims, compact and in OpenHCL's
// field order: it is the context of the key derivation, so one changed letter keeps it shut.
// kCorrupt if the bytes are no protector, kDenied if they are of another TEE or TCB,
// kAuthentication if the MAC does not verify.
base::Result<DatastoreKey> open_hw_key_protector(base::ByteView protector, tee::Tee& tee,
                                                 std::string_view vm_configuration);

// export_hw_key_protector() writes a version 3 for OpenHCL, bound to the measurement and to the
// reported TCB, as OpenHCL does. It is weaker than SEALED_KEYS: any VM of this image on this
// machine with the same configuration opens it. Only for an explicit export.
base::Result<base::Bytes> export_hw_key_protector(const DatastoreKey& key, tee::Tee& tee,
                                                  std::string_view vm_configuration);

}  // namespace vtpm::sealing
