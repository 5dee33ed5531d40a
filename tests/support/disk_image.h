// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <boost/container/flat_map.hpp>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "vmgs/base/bytes.h"

namespace tests::support {

inline constexpr std::size_t kSectorBytes = 512;

using SectorBytes = std::array<std::byte, kSectorBytes>;
using SharedSector = std::shared_ptr<const SectorBytes>;

// DiskImage is the content of a disk as a value: copies share all sectors that none of them
// changed, so a crash test can make thousands of them from one.
class DiskImage {
 public:
  // An image of zeros. The size must be a multiple of 512.
  explicit DiskImage(std::uint64_t size_bytes);

  // An image of these bytes, a multiple of 512 of them.
  explicit DiskImage(base::Bytes contents);

  [[nodiscard]] std::uint64_t size_bytes() const { return base_->size(); }

  // sector() is a view that ends at the next put() into this image.
  [[nodiscard]] std::span<const std::byte, kSectorBytes> sector(std::uint64_t index) const;

  // read() copies bytes out. The range must lie inside.
  void read(std::uint64_t offset, std::span<std::byte> out) const;

  void put(std::uint64_t index, SharedSector content);

  // contents() is a copy of everything.
  [[nodiscard]] base::Bytes contents() const;

 private:
  std::shared_ptr<const base::Bytes> base_;
  boost::container::flat_map<std::uint64_t, SharedSector> changed_;
};

}  // namespace tests::support
