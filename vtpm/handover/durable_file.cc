// SPDX-License-Identifier: Apache-2.0
#include "vtpm/handover/durable_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <system_error>

#include "vmgs/base/descriptor.h"
#include "vmgs/base/log.h"

namespace vtpm::handover {

using base::ErrorCode;

namespace {

base::Result<void> write_all(int file, const std::filesystem::path& path, base::ByteView bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(file, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) {
      continue;
    }
    if (written < 0) {
      return failed(path, "written");
    }
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
  return ::fsync(file) == 0 ? base::Result<void>() : failed(path, "written");
}

}  // namespace

tl::unexpected<base::Error> failed(const std::filesystem::path& path, const char* what) {
  const auto code = errno == ENOENT ? ErrorCode::kNotFound : ErrorCode::kIo;
  return base::fail(
      code, path.string() + " cannot be " + what + ": " + std::generic_category().message(errno));
}

base::Result<void> write_from(int file, const std::filesystem::path& path, std::size_t offset,
                              base::ByteView bytes) {
  if (::ftruncate(file, static_cast<off_t>(offset)) != 0 ||
      ::lseek(file, static_cast<off_t>(offset), SEEK_SET) < 0) {
    return failed(path, "written");
  }
  return write_all(file, path, bytes);
}

base::Result<void> sync_folder_of(const std::filesystem::path& path) {
  const auto folder = path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
  const base::Descriptor opened(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!opened.is_open() || ::fsync(opened.number()) != 0) {
    return failed(folder, "written");
  }
  return {};
}

base::Result<void> publish(const std::filesystem::path& path, mode_t mode, base::ByteView bytes) {
  auto temporary = path;
  temporary += ".new";
  {
    const base::Descriptor file(
        ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, mode));
    if (!file.is_open() || ::fchmod(file.number(), mode) != 0) {
      return failed(temporary, "made");
    }
    TRY(write_all(file.number(), temporary, bytes));
  }
  if (::rename(temporary.c_str(), path.c_str()) != 0) {
    return failed(path, "made");
  }
  return sync_folder_of(path);
}

base::Result<base::SecretBytes> read_all(int file, const std::filesystem::path& path,
                                         std::size_t most) {
  base::SecretBytes bytes(most + 1);
  std::size_t filled = 0;
  while (filled < bytes.size()) {
    const ssize_t got = ::pread(file, bytes.fill().data() + filled, bytes.size() - filled,
                                static_cast<off_t>(filled));
    if (got < 0 && errno == EINTR) {
      continue;
    }
    if (got < 0) {
      return failed(path, "read");
    }
    if (got == 0) {
      break;
    }
    filled += static_cast<std::size_t>(got);
  }
  base::SecretBytes read(filled);
  std::copy_n(bytes.expose().begin(), filled, read.fill().begin());
  return read;
}

base::Result<base::SecretBytes> read_file(const std::filesystem::path& path, std::size_t most) {
  const base::Descriptor file(::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  if (!file.is_open()) {
    return failed(path, "read");
  }
  return read_all(file.number(), path, most);
}

void remove_file(const std::filesystem::path& path) {
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) {
    base::log(base::LogLevel::kWarning, failed(path, "removed").value().message);
  }
}

}  // namespace vtpm::handover
