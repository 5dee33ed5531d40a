// SPDX-License-Identifier: Apache-2.0
#include "vmgs/storage/private_file.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "vmgs/base/descriptor.h"
#include "vmgs/storage/new_file.h"
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
  TRY_ASSIGN(file, NewFile::create(path));
  TRY(file.write(content));
  return file.publish();
}

}  // namespace vmgs::storage
