// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>
#include <utility>

#include "vmgs/base/bytes.h"
#include "vmgs/base/descriptor.h"
#include "vmgs/base/result.h"

namespace vmgs::storage {

// NewFile is a file of mode 0600 that nobody ever sees half written: it has another name in the
// same folder until it is published, and is removed if it never is. One owner.
class NewFile {
 public:
  // create() begins one. Errors of system_error().
  static base::Result<NewFile> create(const std::filesystem::path& path);

  NewFile(NewFile&& other) noexcept
      : path_(std::move(other.path_)),
        unfinished_(std::exchange(other.unfinished_, {})),
        file_(std::move(other.file_)) {}

  NewFile& operator=(NewFile&&) = delete;
  ~NewFile();

  // write() adds to it.
  base::Result<void> write(base::ByteView bytes);

  // publish() syncs it and gives it its name, durably. kDenied if something has that name: it is
  // never overwritten.
  base::Result<void> publish();

 private:
  NewFile(std::filesystem::path path, std::string unfinished, base::Descriptor file)
      : path_(std::move(path)), unfinished_(std::move(unfinished)), file_(std::move(file)) {}

  std::filesystem::path path_;
  std::string unfinished_;  // empty once it is published
  base::Descriptor file_;
};

}  // namespace vmgs::storage
