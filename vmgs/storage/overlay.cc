// SPDX-License-Identifier: Apache-2.0
#include "vmgs/storage/overlay.h"

#include <algorithm>

#include "vmgs/storage/range.h"

namespace vmgs::storage {

namespace {

constexpr std::uint64_t kPageBytes = format::kBlockBytes;

// Calls `step(page, offset in it, offset in the range, count)` for each page of a range.
template <typename Step>
base::Result<void> for_each_page(std::uint64_t offset, std::uint64_t count, Step&& step) {
  for (std::uint64_t done = 0; done < count;) {
    const auto at = offset + done;
    const auto now = std::min(count - done, kPageBytes - at % kPageBytes);
    TRY(step(at / kPageBytes, at % kPageBytes, done, now));
    done += now;
  }
  return {};
}

}  // namespace

base::Result<void> apply(ResizableDevice& device, const Operation& operation) {
  switch (operation.kind) {
    case Operation::Kind::kWrite:
      return device.write(operation.offset, operation.bytes);
    case Operation::Kind::kFlush:
      return device.flush();
    case Operation::Kind::kResize:
      return device.resize(operation.offset);
  }
  return {};
}

base::Result<base::Bytes> Overlay::page(std::uint64_t index) {
  if (const auto found = pages_.find(index); found != pages_.end()) {
    return *found->second;
  }
  base::Bytes bytes(kPageBytes);
  const auto start = index * kPageBytes;
  if (start < kept_of_under_) {
    const auto count = std::min(kPageBytes, kept_of_under_ - start);
    TRY(under_->read(start, std::span(bytes).first(count)));
  }
  return bytes;
}

base::Result<void> Overlay::read(std::uint64_t offset, std::span<std::byte> out) {
  TRY(require_inside(offset, out.size(), size_));
  if (pages_.empty() && offset + out.size() <= kept_of_under_) {
    return under_->read(offset, out);
  }
  return for_each_page(offset, out.size(),
                       [&](std::uint64_t index, std::uint64_t in_page, std::uint64_t done,
                           std::uint64_t count) -> base::Result<void> {
                         TRY_ASSIGN(bytes, page(index));
                         std::ranges::copy(std::span(bytes).subspan(in_page, count),
                                           out.subspan(done).begin());
                         return {};
                       });
}

base::Result<void> Overlay::write(std::uint64_t offset, base::ByteView bytes) {
  TRY(require_inside(offset, bytes.size(), size_));
  TRY(for_each_page(offset, bytes.size(),
                    [&](std::uint64_t index, std::uint64_t in_page, std::uint64_t done,
                        std::uint64_t count) -> base::Result<void> {
                      TRY_ASSIGN(changed, page(index));
                      std::ranges::copy(bytes.subspan(done, count),
                                        std::span(changed).subspan(in_page).begin());
                      pages_[index] = std::make_shared<const base::Bytes>(std::move(changed));
                      return {};
                    }));
  operations_.push_back({Operation::Kind::kWrite, offset, base::copy_of(bytes)});
  return {};
}

base::Result<void> Overlay::flush() {
  operations_.push_back({Operation::Kind::kFlush});
  return {};
}

base::Result<void> Overlay::resize(std::uint64_t size_bytes) {
  if (size_bytes < size_) {
    // What is cut off reads as zero should the end move out again.
    const auto last = size_bytes / kPageBytes;
    if (size_bytes % kPageBytes != 0) {
      TRY_ASSIGN(cut, page(last));
      std::fill(cut.begin() + static_cast<std::ptrdiff_t>(size_bytes % kPageBytes), cut.end(),
                std::byte{0});
      pages_[last] = std::make_shared<const base::Bytes>(std::move(cut));
    }
    pages_.erase(pages_.lower_bound((size_bytes + kPageBytes - 1) / kPageBytes), pages_.end());
    kept_of_under_ = std::min(kept_of_under_, size_bytes);
  }
  size_ = size_bytes;
  operations_.push_back({Operation::Kind::kResize, size_bytes});
  return {};
}

}  // namespace vmgs::storage
