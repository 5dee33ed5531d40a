// SPDX-License-Identifier: Apache-2.0
#include "tests/support/disk_image.h"

#include <algorithm>
#include <cstdlib>
#include <utility>

namespace tests::support {

namespace {

// Past so many changed sectors, one copy of the whole is cheaper than carrying them along.
constexpr std::size_t kMostChangedSectors = 512;

}  // namespace

DiskImage::DiskImage(std::uint64_t size_bytes) : DiskImage(base::Bytes(size_bytes)) {}

DiskImage::DiskImage(base::Bytes contents)
    : base_(std::make_shared<const base::Bytes>(std::move(contents))) {
  if (base_->size() % kSectorBytes != 0) {
    std::abort();
  }
}

std::span<const std::byte, kSectorBytes> DiskImage::sector(std::uint64_t index) const {
  if (const auto changed = changed_.find(index); changed != changed_.end()) {
    return *changed->second;
  }
  return std::span(*base_).subspan(index * kSectorBytes).first<kSectorBytes>();
}

void DiskImage::read(std::uint64_t offset, std::span<std::byte> out) const {
  while (!out.empty()) {
    const std::size_t skip = offset % kSectorBytes;
    const std::size_t count = std::min(kSectorBytes - skip, out.size());
    std::ranges::copy(sector(offset / kSectorBytes).subspan(skip, count), out.begin());
    out = out.subspan(count);
    offset += count;
  }
}

void DiskImage::put(std::uint64_t index, SharedSector content) {
  changed_[index] = std::move(content);
  if (changed_.size() > kMostChangedSectors) {
    *this = DiskImage(contents());
  }
}

base::Bytes DiskImage::contents() const {
  base::Bytes all = *base_;
  for (const auto& [index, content] : changed_) {
    std::ranges::copy(*content, std::span(all).subspan(index * kSectorBytes).begin());
  }
  return all;
}

}  // namespace tests::support
