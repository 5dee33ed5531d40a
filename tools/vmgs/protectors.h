// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "tools/vmgs/store.h"
#include "vmgs/base/result.h"
#include "vmgs/format/file_id.h"

namespace tools::vmgs {

// protectors_to_drop() are the files that open the store for a VM (6, 11, 48) and would open
// nothing under another key, or none. kDenied if there are such and `drop` is false.
base::Result<std::vector<::vmgs::format::FileId>> protectors_to_drop(const OpenStore& store,
                                                                     bool drop);

}  // namespace tools::vmgs
