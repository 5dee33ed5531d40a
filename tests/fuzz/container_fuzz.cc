// SPDX-License-Identifier: Apache-2.0
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

#include "vmgs/storage/container.h"

// The input is a whole file. What opens has room for two blocks, inside the file.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace vmgs;
  if (size > 64 * 1024) {
    return 0;
  }
  static const int file = ::memfd_create("container", MFD_CLOEXEC);
  static const std::string path = "/proc/self/fd/" + std::to_string(file);
  if (::ftruncate(file, 0) != 0 || ::pwrite(file, data, size, 0) != static_cast<ssize_t>(size)) {
    std::abort();
  }
  const auto container = storage::open_container(path, {});
  if (!container) {
    return 0;
  }
  const std::uint64_t disk_bytes = container->device->size_bytes();
  base::Bytes all(disk_bytes);
  if (disk_bytes < format::kHeaderAreaBytes || disk_bytes > size ||
      !container->device->read(0, all) || container->device->read(1, all)) {
    std::abort();
  }
  return 0;
}
