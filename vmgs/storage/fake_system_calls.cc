// SPDX-License-Identifier: Apache-2.0
#include "vmgs/storage/fake_system_calls.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdarg>
#include <utility>

namespace vmgs::storage {

FakeSystemCalls& fake_system_calls() {
  static FakeSystemCalls calls;
  return calls;
}

}  // namespace vmgs::storage

using vmgs::storage::fake_system_calls;

extern "C" int open(const char* path, int flags, ...) {
  mode_t mode = 0;
  if ((flags & O_CREAT) != 0) {
    va_list more;
    va_start(more, flags);
    mode = va_arg(more, mode_t);
    va_end(more);
  }
  const auto result = static_cast<int>(::syscall(SYS_openat, AT_FDCWD, path, flags, mode));
  const int error = errno;
  if (const auto after = std::exchange(fake_system_calls().after_open, {})) {
    after();
  }
  errno = error;
  return result;
}

extern "C" int fsync(int file) {
  struct stat examined {};

  ::fstat(file, &examined);
  fake_system_calls().calls.emplace_back(S_ISDIR(examined.st_mode) ? "fsync folder" : "fsync file");
  if (fake_system_calls().fsync_error != 0) {
    errno = fake_system_calls().fsync_error;
    return -1;
  }
  return static_cast<int>(::syscall(SYS_fsync, file));
}

extern "C" int fdatasync(int file) {
  fake_system_calls().calls.emplace_back("fdatasync");
  if (fake_system_calls().fdatasync_error != 0) {
    errno = fake_system_calls().fdatasync_error;
    return -1;
  }
  return static_cast<int>(::syscall(SYS_fdatasync, file));
}

extern "C" int posix_fadvise(int file, off_t offset, off_t count, int advice) noexcept {
  if (advice == POSIX_FADV_DONTNEED && offset == 0 && count == 0) {
    fake_system_calls().calls.emplace_back("forget pages");
  }
  return static_cast<int>(::syscall(SYS_fadvise64, file, offset, count, advice));
}

extern "C" int renameat2(int from_folder, const char* from, int to_folder, const char* to,
                         unsigned int flags) noexcept {
  fake_system_calls().calls.emplace_back("rename");
  if (fake_system_calls().rename_lacks_noreplace) {
    errno = EINVAL;
    return -1;
  }
  return static_cast<int>(::syscall(SYS_renameat2, from_folder, from, to_folder, to, flags));
}
