// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "vmgs/base/bytes.h"
#include "vmgs/base/descriptor.h"

namespace tests::bench {

// Disk is what a durable write needs of the machine: 8 KiB into a file that was written before, and
// fdatasync.
class Disk {
 public:
  explicit Disk(const std::filesystem::path& file)
      : file_(::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)) {
    const base::Bytes zeros(64 * kBytes);
    if (::pwrite(file_.number(), zeros.data(), zeros.size(), 0) < 0 ||
        ::fsync(file_.number()) != 0) {
      std::abort();
    }
  }

  void write() {
    static base::Bytes content(kBytes);
    content[0] = std::byte(static_cast<unsigned char>(place_));
    const auto offset = static_cast<off_t>(place_++ % 64 * kBytes);
    if (::pwrite(file_.number(), content.data(), content.size(), offset) < 0 ||
        ::fdatasync(file_.number()) != 0) {
      std::abort();
    }
  }

 private:
  static constexpr std::size_t kBytes = 8192;

  base::Descriptor file_;
  std::size_t place_ = 0;
};

}  // namespace tests::bench
