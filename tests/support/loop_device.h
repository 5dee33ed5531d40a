// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>

#include "vmgs/base/descriptor.h"

namespace tests::support {

// LoopDevice is a real block device over a file, with logical sectors of a size of our choice, for
// as long as the object lives. It takes root and a kernel with loop devices; where either is
// missing it does not exist(), and a test skips itself.
class LoopDevice {
 public:
  LoopDevice(const std::filesystem::path& backing, std::uint32_t sector_bytes);

  LoopDevice(const LoopDevice&) = delete;
  LoopDevice& operator=(const LoopDevice&) = delete;
  ~LoopDevice();

  [[nodiscard]] bool exists() const { return !path_.empty(); }

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  base::Descriptor device_;
  std::filesystem::path path_;
};

}  // namespace tests::support
