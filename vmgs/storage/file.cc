// SPDX-License-Identifier: Apache-2.0
#include "vmgs/storage/file.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "vmgs/storage/folder.h"
#include "vmgs/storage/range.h"
#include "vmgs/storage/system_error.h"
#include "vmgs/storage/transfer.h"

namespace vmgs::storage {

namespace {

constexpr mode_t kOwnerOnly = 0600;

bool is_same_file(const struct stat& a, const struct stat& b) {
  return a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

// The path as seen from the root, so that a later change of the working folder does not matter.
std::filesystem::path from_root(const std::filesystem::path& path) {
  std::error_code error;
  auto whole = std::filesystem::absolute(path, error);
  return error ? path : whole;
}

base::Result<void> lock(const base::Descriptor& file, Access access, const std::string& path) {
  struct flock whole {};

  whole.l_type = static_cast<short>(access == Access::kReadWrite ? F_WRLCK : F_RDLCK);
  whole.l_whence = SEEK_SET;  // from 0, length 0: the whole file, however it grows
  if (::fcntl(file.number(), F_OFD_SETLK, &whole) == 0) {
    return {};
  }
  if (errno == EAGAIN || errno == EACCES) {
    return base::fail(base::ErrorCode::kUnavailable,
                      path +
                          " is in use by another process, perhaps a running VM: stop that VM, "
                          "or wait for the other command to end, and try again");
  }
  return base::fail(system_error(errno, "cannot lock " + path));
}

base::Result<void> write_zeros(const base::Descriptor& file, std::uint64_t count,
                               const std::string& path) {
  const base::Bytes zeros(std::size_t{1} << 18);
  for (std::uint64_t offset = 0; offset < count; offset += zeros.size()) {
    const auto now =
        static_cast<std::size_t>(std::min<std::uint64_t>(zeros.size(), count - offset));
    const int error = transfer_all(now, [&](std::size_t done) {
      return ::pwrite(file.number(), zeros.data() + done, now - done,
                      static_cast<off_t>(offset + done));
    });
    if (error != 0) {
      return base::fail(system_error(error, "cannot write " + path));
    }
  }
  // fsync and not fdatasync: the new size and mode must not be lost either.
  if (::fsync(file.number()) != 0) {
    return base::fail(system_error(errno, "cannot sync " + path));
  }
  return {};
}

}  // namespace

FileDevice::FileDevice(base::Descriptor file, std::filesystem::path path, Access access)
    : file_(std::move(file)), path_(std::move(path)), access_(access) {}

base::Result<std::unique_ptr<FileDevice>> FileDevice::open(const std::filesystem::path& path,
                                                           Access access) {
  const std::string name = path.string();

  struct stat named {};

  if (::stat(path.c_str(), &named) != 0) {
    return base::fail(system_error(errno, "cannot open " + name));
  }
  const bool is_block_device = S_ISBLK(named.st_mode);
  if (!is_block_device && !S_ISREG(named.st_mode)) {
    return base::fail(base::ErrorCode::kInvalidArgument,
                      name + " is neither a file nor a block device");
  }

  // O_NONBLOCK: should the name have become a pipe meanwhile, do not wait for its other end.
  int flags = O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
  flags |= access == Access::kReadWrite ? O_RDWR : O_RDONLY;
  if (is_block_device && access == Access::kReadWrite) {
    flags |= O_EXCL;  // refuses a device that is mounted or part of another one
  }
  base::Descriptor file(::open(path.c_str(), flags));
  if (!file.is_open()) {
    return base::fail(system_error(errno, "cannot open " + name));
  }
  TRY(lock(file, access, name));

  struct stat opened {};

  if (::fstat(file.number(), &opened) != 0) {
    return base::fail(system_error(errno, "cannot examine " + name));
  }
  std::unique_ptr<FileDevice> device(new FileDevice(std::move(file), from_root(path), access));
  // Whoever held the lock until now may have put another file in this one's place.
  if (!is_same_file(named, opened) || !device->still_named()) {
    return base::fail(base::ErrorCode::kUnavailable,
                      name + " was replaced while it was being opened: try again");
  }

  TRY(device->find_size(opened));
  if (access == Access::kReadWrite) {
    // After a failed flush the kernel keeps pages that never reached the disk and calls them clean.
    // Whoever goes on from here has to see what the disk holds, so those are forgotten first; pages
    // that are still dirty stay, and the next flush tells about them.
    ::posix_fadvise(device->file_.number(), 0, 0, POSIX_FADV_DONTNEED);
  }
  return device;
}

base::Result<void> FileDevice::find_size(const struct stat& opened) {
  is_block_device_ = S_ISBLK(opened.st_mode);
  size_bytes_ = static_cast<std::uint64_t>(opened.st_size);
  if (is_block_device_) {
    int sector_bytes = 0;
    if (::ioctl(file_.number(), BLKGETSIZE64, &size_bytes_) != 0 ||
        ::ioctl(file_.number(), BLKSSZGET, &sector_bytes) != 0) {
      return base::fail(system_error(errno, "cannot ask for the size of " + path_.string()));
    }
    sector_bytes_ = static_cast<std::uint32_t>(sector_bytes);
  }
  return {};
}

base::Result<base::Descriptor> FileDevice::share() const {
  base::Descriptor shared(::fcntl(file_.number(), F_DUPFD_CLOEXEC, 0));
  if (!shared.is_open()) {
    return base::fail(system_error(errno, "cannot share " + path_.string()));
  }
  return shared;
}

base::Result<std::unique_ptr<FileDevice>> FileDevice::adopt(base::Descriptor file,
                                                            const std::filesystem::path& path) {
  const std::string name = path.string();

  struct stat opened {};

  if (::fstat(file.number(), &opened) != 0) {
    return base::fail(system_error(errno, "cannot examine " + name));
  }
  if (!S_ISBLK(opened.st_mode) && !S_ISREG(opened.st_mode)) {
    return base::fail(base::ErrorCode::kInvalidArgument,
                      "what was shared as " + name + " is neither a file nor a block device");
  }
  // To whom the lock belongs already, it is given again.
  TRY(lock(file, Access::kReadWrite, name));
  std::unique_ptr<FileDevice> device(
      new FileDevice(std::move(file), from_root(path), Access::kReadWrite));
  TRY(device->still_named());
  TRY(device->find_size(opened));
  return device;
}

base::Result<std::unique_ptr<FileDevice>> FileDevice::create_preallocated(
    const std::filesystem::path& path, std::uint64_t size_bytes) {
  const std::string name = path.string();
  base::Descriptor file(
      ::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOCTTY, kOwnerOnly));
  if (!file.is_open()) {
    return base::fail(system_error(errno, "cannot create " + name));
  }
  auto made = lock(file, Access::kReadWrite, name);
  if (made) {
    made = write_zeros(file, size_bytes, name);
  }
  if (!made) {
    ::unlink(path.c_str());
    return base::fail(std::move(made).error());
  }
  std::unique_ptr<FileDevice> device(
      new FileDevice(std::move(file), from_root(path), Access::kReadWrite));
  device->size_bytes_ = size_bytes;
  return device;
}

base::Result<void> FileDevice::read(std::uint64_t offset, std::span<std::byte> out) {
  TRY(require_inside(offset, out.size(), size_bytes_));
  const int error = transfer_all(out.size(), [&](std::size_t done) {
    return ::pread(file_.number(), out.data() + done, out.size() - done,
                   static_cast<off_t>(offset + done));
  });
  if (error == ENODATA) {
    return base::fail(base::ErrorCode::kIo, path_.string() + " ends early: it was cut while open");
  }
  if (error != 0) {
    return base::fail(base::ErrorCode::kIo,
                      system_error(error, "cannot read " + path_.string()).message);
  }
  return {};
}

base::Result<void> FileDevice::write(std::uint64_t offset, base::ByteView bytes) {
  TRY(require_inside(offset, bytes.size(), size_bytes_));
  if (access_ == Access::kReadOnly) {
    return base::fail(base::ErrorCode::kDenied, path_.string() + " was opened for reading only");
  }
  if (flush_failed_) {
    return base::fail(base::ErrorCode::kIo,
                      path_.string() + " takes no more writes: an earlier flush failed");
  }
  const int error = transfer_all(bytes.size(), [&](std::size_t done) {
    return ::pwrite(file_.number(), bytes.data() + done, bytes.size() - done,
                    static_cast<off_t>(offset + done));
  });
  if (error != 0) {
    return base::fail(base::ErrorCode::kIo,
                      system_error(error, "cannot write " + path_.string()).message);
  }
  return {};
}

base::Result<void> FileDevice::flush() {
  if (flush_failed_) {
    return base::fail(base::ErrorCode::kIo,
                      path_.string() +
                          " cannot be trusted: an earlier flush failed. Close it, "
                          "open it again and check it");
  }
  if (::fdatasync(file_.number()) != 0) {
    // The kernel may have dropped the pages and reported it for the only time. A second fdatasync
    // would succeed and prove nothing.
    flush_failed_ = true;
    return base::fail(base::ErrorCode::kIo,
                      system_error(errno, "cannot flush " + path_.string()).message);
  }
  return {};
}

base::Result<void> FileDevice::resize(std::uint64_t size_bytes) {
  if (access_ == Access::kReadOnly || is_block_device_) {
    return base::fail(base::ErrorCode::kDenied,
                      path_.string() + (is_block_device_ ? " is a block device, whose size is fixed"
                                                         : " was opened for reading only"));
  }
  if (flush_failed_) {
    return base::fail(base::ErrorCode::kIo,
                      path_.string() + " takes no more writes: an earlier flush failed");
  }
  if (::ftruncate(file_.number(), static_cast<off_t>(size_bytes)) != 0) {
    return base::fail(base::ErrorCode::kIo,
                      system_error(errno, "cannot resize " + path_.string()).message);
  }
  size_bytes_ = size_bytes;
  return {};
}

base::Result<void> FileDevice::belong_to_owner_of(const FileDevice& other) {
  struct stat owned {};

  if (::fstat(other.file_.number(), &owned) != 0) {
    return base::fail(system_error(errno, "cannot examine " + other.path_.string()));
  }
  if (::fchown(file_.number(), owned.st_uid, owned.st_gid) != 0 && errno != EPERM) {
    return base::fail(system_error(errno, "cannot give away " + path_.string()));
  }
  return {};
}

base::Result<void> FileDevice::still_named() const {
  struct stat opened {};

  struct stat named {};

  if (::fstat(file_.number(), &opened) != 0) {
    return base::fail(system_error(errno, "cannot examine " + path_.string()));
  }
  if (::stat(path_.c_str(), &named) != 0 && errno != ENOENT) {
    return base::fail(system_error(errno, "cannot examine " + path_.string()));
  }
  if (!is_same_file(opened, named)) {
    return base::fail(base::ErrorCode::kDenied,
                      path_.string() +
                          " is no longer the file that was opened: it was removed or replaced "
                          "while in use. Find out by whom before starting again");
  }
  return {};
}

base::Result<void> FileDevice::publish_as(const std::filesystem::path& final_path) {
  TRY(publish(path_, final_path));
  path_ = from_root(final_path);
  return {};
}

}  // namespace vmgs::storage
