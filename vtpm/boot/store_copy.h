// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>

#include "vmgs/base/result.h"
#include "vtpm/boot/protector.h"
#include "vtpm/boot/store_settings.h"

namespace vtpm::boot {

// copy_store() makes a second store at `to`, which `keeper` protects, with the whole state of the
// VM whose store `from` is and `opener` opens. It is durable when this returns, and was opened
// again and compared; until then nothing has the name `to`. Nothing of the first one is written,
// and nobody else writes it meanwhile.
//
// The state is the same, not its history: the copy has no RECORD, none of the first one's
// protectors, and no commit sequence if the first one had none. What a TPM state says of the
// protection that its seeds have lived under goes along.
//
// `from.vm_id` is there. kDenied for a store that would not be served either (another VM's, another
// protection, edited without its key), for one on a block device, which has no place beside it, and
// if something is at `to`; kNotFound where there is no store or no TPM in it; else as
// StateStore::open() and create().
base::Result<void> copy_store(const StoreSettings& from, Protector& opener,
                              const std::filesystem::path& to, Protector& keeper);

}  // namespace vtpm::boot
