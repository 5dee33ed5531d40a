// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "vmgs/base/result.h"
#include "vmgs/repair/plan.h"
#include "vmgs/volume/generation.h"

namespace vmgs::repair {

// previous_generation() is the state before the newest, unlocked if the store is encrypted and a
// key is given. kNotFound if no header leads to one; kAuthentication if the key does not open it;
// kCorrupt if its tables are damaged; the errors of find_packaging(); kIo.
base::Result<volume::Generation> previous_generation(storage::BlockDevice& whole,
                                                     const Patient& patient,
                                                     const volume::DatastoreKey* key);

// restore_previous() is the step that makes that state the newest again, and the newest the one
// before it, so that a second one takes it back. It is one write of one sector. kDenied if a file
// of the older state does not read any more, or the store is encrypted and there is no key.
base::Result<Step> restore_previous(storage::BlockDevice& whole, const Patient& patient,
                                    const volume::DatastoreKey* key);

}  // namespace vmgs::repair
