// SPDX-License-Identifier: Apache-2.0
#include "vmgs/storage/folder.h"

#include <fcntl.h>
#include <stdio.h>

#include "vmgs/base/descriptor.h"
#include "vmgs/storage/system_error.h"

namespace vmgs::storage {

base::Result<void> sync_folder_of(const std::filesystem::path& path) {
  const auto folder = path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
  const base::Descriptor opened(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!opened.is_open()) {
    return base::fail(system_error(errno, "cannot open folder " + folder.string()));
  }
  if (::fsync(opened.number()) != 0) {
    return base::fail(system_error(errno, "cannot sync folder " + folder.string()));
  }
  return {};
}

base::Result<void> publish(const std::filesystem::path& temporary,
                           const std::filesystem::path& final_path) {
  int result =
      ::renameat2(AT_FDCWD, temporary.c_str(), AT_FDCWD, final_path.c_str(), RENAME_NOREPLACE);
  if (result != 0 && errno == EINVAL) {
    // NFS has no such rename, but link() never replaces either. A crash between the two calls
    // leaves the file under both names, whole.
    result = ::link(temporary.c_str(), final_path.c_str());
    if (result == 0) {
      result = ::unlink(temporary.c_str());
    }
  }
  if (result != 0) {
    return base::fail(
        system_error(errno, "cannot rename " + temporary.string() + " to " + final_path.string()));
  }
  return sync_folder_of(final_path);
}

}  // namespace vmgs::storage
