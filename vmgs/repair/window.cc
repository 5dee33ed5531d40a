// SPDX-License-Identifier: Apache-2.0
#include "vmgs/repair/window.h"

#include "vmgs/storage/range.h"

namespace vmgs::repair {

base::Result<void> Window::read(std::uint64_t offset, std::span<std::byte> out) {
  TRY(storage::require_inside(offset, out.size(), size_));
  return whole_->read(offset, out);
}

base::Result<void> Window::write(std::uint64_t offset, base::ByteView bytes) {
  TRY(storage::require_inside(offset, bytes.size(), size_));
  return whole_->write(offset, bytes);
}

}  // namespace vmgs::repair
