// SPDX-License-Identifier: Apache-2.0
#include "vmgs/storage/range.h"

#include <string>

namespace vmgs::storage {

base::Result<void> require_inside(std::uint64_t offset, std::uint64_t count,
                                  std::uint64_t size_bytes) {
  if (offset <= size_bytes && count <= size_bytes - offset) {
    return {};
  }
  return base::fail(base::ErrorCode::kInvalidArgument,
                    std::to_string(count) + " bytes at " + std::to_string(offset) +
                        " lie outside a device of " + std::to_string(size_bytes) + " bytes");
}

}  // namespace vmgs::storage
