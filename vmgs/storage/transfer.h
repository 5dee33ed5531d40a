// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cerrno>
#include <cstddef>
#include <utility>

namespace vmgs::storage {

// transfer_all() calls `step(done)` until `total` bytes are done. A step moves the bytes after the
// first `done` and returns as pread and pwrite do: how many it moved, fewer than asked if the
// system felt like it, or -1 with errno. An interrupted step is taken again. Gives 0 for success,
// else the errno value; a step that moves nothing is the end of the file or a device that takes no
// more, and gives ENODATA.
template <typename Step>
int transfer_all(std::size_t total, Step&& step) {
  std::size_t done = 0;
  while (done < total) {
    const ssize_t moved = step(done);
    if (moved > 0) {
      done += static_cast<std::size_t>(moved);
    } else if (moved == 0) {
      return ENODATA;
    } else if (errno != EINTR) {
      return errno;
    }
  }
  return 0;
}

}  // namespace vmgs::storage
