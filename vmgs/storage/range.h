// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "vmgs/base/result.h"

namespace vmgs::storage {

// require_inside() succeeds if `count` bytes from `offset` lie inside a device of `size_bytes`;
// their sum cannot wrap. kInvalidArgument otherwise.
base::Result<void> require_inside(std::uint64_t offset, std::uint64_t count,
                                  std::uint64_t size_bytes);

}  // namespace vmgs::storage
