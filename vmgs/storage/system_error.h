// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "vmgs/base/result.h"

namespace vmgs::storage {

// system_error() says that `what` failed with errno value `error`. Its code tells what the caller
// can do: kNotFound for a missing path, kDenied where the system forbids (permission, read-only
// file system, name taken), kUnavailable where something else holds it, kIo for all the rest.
[[nodiscard]] base::Error system_error(int error, const std::string& what);

}  // namespace vmgs::storage
