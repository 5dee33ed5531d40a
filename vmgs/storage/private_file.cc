// SPDX-License-Identifier: Apache-2.0
#include "vmgs/storage/private_file.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "vmgs/base/descriptor.h"
#include "vmgs/storage/folder.h"
#include "vmgs/storage/system_error.h"
#include "vmgs/storage/transfer.h"

namespace vmgs::storage {

namespace {

auto denied(std::string why) { return base::fail(base::ErrorCode::kDenied, std::move(why)); }

base::Result<void> check_private(const struct stat& status, const std::filesystem::path& path,
                                 OtherReaders others) {
  if (!S_ISREG(status.st_mode)) {
    return denied(path.string() + " is not a regular file");
  }
  if (status.st_uid != ::geteuid() && status.st_uid != 0) {
    return denied(path.string() + " belongs to user " + std::to_string(status.st_uid) +
                  ", who can change it; make it a file of this user: chown " +
                  std::to_string(::geteuid()) + " " + path.string());
  }
  const mode_t forbidden = others == OtherReaders::kNone ? S_IRWXG | S_IRWXO : S_IWGRP | S_IRWXO;
  if ((status.st_mode & forbidden) != 0) {
    return denied(path.string() + " is open to others than its owner; close it: chmod 600 " +
                  path.string() + ", and replace what it holds if they may have read it");
  }
  return {};
}

// Unfinished is a file under a name of its own that is removed unless it was renamed.
class Unfinished {
 public:
  explicit Unfinished(const std::filesystem::path& path)
      : name_((path.has_parent_path() ? path.parent_path() : std::filesystem::path(".")) /
              ("." + path.filename().string() + ".XXXXXX")),
        file_(::mkostemp(name_.data(), O_CLOEXEC)) {}

  Unfinished(const Unfinished&) = delete;
  Unfinished& operator=(const Unfinished&) = delete;

  ~Unfinished() {
    if (file_.is_open() && !published_) {
      ::unlink(name_.c_str());
    }
  }

  [[nodiscard]] const base::Descriptor& file() const { return file_; }

  [[nodiscard]] const std::string& name() const { return name_; }

  base::Result<void> publish_as(const std::filesystem::path& path) {
    TRY(publish(name_, path));
    published_ = true;
    return {};
  }

 private:
  std::string name_;
  base::Descriptor file_;
  bool published_ = false;
};

}  // namespace

base::Result<base::SecretBytes> read_private_file(const std::filesystem::path& path,
                                                  OtherReaders others, std::size_t most_bytes) {
  const base::Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));
  if (!file.is_open()) {
    return base::fail(system_error(errno, "cannot open " + path.string()));
  }

  struct stat status {};

  if (::fstat(file.number(), &status) != 0) {
    return base::fail(system_error(errno, "cannot examine " + path.string()));
  }
  TRY(check_private(status, path, others));
  const auto size = static_cast<std::size_t>(status.st_size);
  if (size > most_bytes) {
    return base::fail(base::ErrorCode::kInvalidArgument,
                      path.string() + " has " + std::to_string(size) + " bytes, at most " +
                          std::to_string(most_bytes) + " are expected");
  }
  base::SecretBytes content(size);
  const int error = transfer_all(size, [&](std::size_t done) {
    return ::read(file.number(), content.fill().data() + done, size - done);
  });
  if (error != 0) {
    return base::fail(system_error(error, "cannot read " + path.string()));
  }
  return content;
}

base::Result<void> create_private_file(const std::filesystem::path& path, base::ByteView content) {
  Unfinished unfinished(path);  // mkostemp gives it mode 0600, whatever the umask
  const int number = unfinished.file().number();
  if (!unfinished.file().is_open()) {
    return base::fail(system_error(errno, "cannot create a file beside " + path.string()));
  }
  const int error = transfer_all(content.size(), [&](std::size_t done) {
    return ::write(number, content.data() + done, content.size() - done);
  });
  if (error != 0) {
    return base::fail(system_error(error, "cannot write " + unfinished.name()));
  }
  if (::fsync(number) != 0) {
    return base::fail(system_error(errno, "cannot sync " + unfinished.name()));
  }
  return unfinished.publish_as(path);
}

}  // namespace vmgs::storage
