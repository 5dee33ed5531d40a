// SPDX-License-Identifier: Apache-2.0
#include "vtpm/boot/swtpm_lock.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <system_error>
#include <utility>

namespace vtpm::boot {

namespace {

// The mode that swtpm gives it.
constexpr mode_t kMode = 0660;

struct flock whole_file() {
  struct flock lock {};

  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  return lock;
}

// Root, which looks after the TPMs of others, must not leave them a lock that they cannot take.
void give_to_owner_of(const std::filesystem::path& folder, const base::Descriptor& file) {
  struct stat owner {};

  struct stat own {};

  if (::stat(folder.c_str(), &owner) == 0 && ::fstat(file.number(), &own) == 0 &&
      own.st_uid == ::geteuid() && owner.st_uid != own.st_uid) {
    [[maybe_unused]] const int ignored = ::fchown(file.number(), owner.st_uid, owner.st_gid);
  }
}

tl::unexpected<base::Error> in_use(const SwtpmFolder& folder, pid_t holder) {
  const auto who = holder > 0 ? "process " + std::to_string(holder) : std::string("a process");
  return base::fail(base::ErrorCode::kUnavailable,
                    folder.path.string() + ": " + who + " uses this TPM; shut its VM down first");
}

}  // namespace

base::Result<SwtpmLock> SwtpmLock::take(const SwtpmFolder& folder) {
  const auto path = folder.lock();
  base::Descriptor file(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, kMode));
  auto lock = whole_file();
  if (file.is_open() && ::fcntl(file.number(), F_SETLK, &lock) == 0) {
    give_to_owner_of(folder.path, file);
    return SwtpmLock(std::move(file));
  }
  const int error = errno;
  if (file.is_open() && (error == EAGAIN || error == EACCES)) {
    lock = whole_file();
    const bool told = ::fcntl(file.number(), F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
    return in_use(folder, told ? lock.l_pid : 0);
  }
  return base::fail(base::ErrorCode::kIo,
                    path.string() + ": " + std::generic_category().message(error));
}

base::Result<void> SwtpmLock::expect_free(const SwtpmFolder& folder) {
  const base::Descriptor file(
      ::open(folder.lock().c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  auto lock = whole_file();
  const bool taken =
      file.is_open() && ::fcntl(file.number(), F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
  return taken ? in_use(folder, lock.l_pid) : base::Result<void>();
}

}  // namespace vtpm::boot
