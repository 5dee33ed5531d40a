// SPDX-License-Identifier: Apache-2.0
#include "vmgs/storage/new_file.h"

#include <fcntl.h>
#include <stdlib.h>

#include "vmgs/storage/folder.h"
#include "vmgs/storage/system_error.h"
#include "vmgs/storage/transfer.h"

namespace vmgs::storage {

base::Result<NewFile> NewFile::create(const std::filesystem::path& path) {
  const auto folder = path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
  std::string name = folder / ("." + path.filename().string() + ".XXXXXX");
  // mkostemp gives mode 0600, whatever the umask.
  base::Descriptor file(::mkostemp(name.data(), O_CLOEXEC));
  if (!file.is_open()) {
    return base::fail(system_error(errno, "cannot create a file beside " + path.string()));
  }
  return NewFile(path, std::move(name), std::move(file));
}

NewFile::~NewFile() {
  if (!unfinished_.empty()) {
    ::unlink(unfinished_.c_str());
  }
}

base::Result<void> NewFile::write(base::ByteView bytes) {
  const int error = transfer_all(bytes.size(), [&](std::size_t done) {
    return ::write(file_.number(), bytes.data() + done, bytes.size() - done);
  });
  if (error != 0) {
    return base::fail(system_error(error, "cannot write " + unfinished_));
  }
  return {};
}

base::Result<void> NewFile::publish() {
  if (::fsync(file_.number()) != 0) {
    return base::fail(system_error(errno, "cannot sync " + unfinished_));
  }
  TRY(vmgs::storage::publish(unfinished_, path_));
  unfinished_.clear();
  return {};
}

}  // namespace vmgs::storage
