// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <string>

#include "vmgs/base/result.h"

namespace tools::vtpmd {

// group_id() is the number of this host's group with that name. kNotFound if there is none; kIo if
// that cannot be told.
base::Result<gid_t> group_id(const std::string& name);

}  // namespace tools::vtpmd
