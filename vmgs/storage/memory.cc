// SPDX-License-Identifier: Apache-2.0
#include "vmgs/storage/memory.h"

#include <algorithm>

#include "vmgs/storage/range.h"

namespace vmgs::storage {

base::Result<void> MemoryDevice::read(std::uint64_t offset, std::span<std::byte> out) {
  TRY(require_inside(offset, out.size(), bytes_.size()));
  std::ranges::copy(std::span(bytes_).subspan(offset, out.size()), out.begin());
  return {};
}

base::Result<void> MemoryDevice::write(std::uint64_t offset, base::ByteView bytes) {
  TRY(require_inside(offset, bytes.size(), bytes_.size()));
  std::ranges::copy(bytes, std::span(bytes_).subspan(offset, bytes.size()).begin());
  return {};
}

}  // namespace vmgs::storage
