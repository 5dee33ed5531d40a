// SPDX-License-Identifier: Apache-2.0
#include "vmgs/storage/undoable_file.h"

#include <sys/stat.h>

#include <cerrno>
#include <string>
#include <utility>

#include "vmgs/storage/folder.h"
#include "vmgs/storage/system_error.h"

namespace vmgs::storage {

namespace {

// A new file beside those that are there already, of the owner whose file is saved in it.
base::Result<UndoTarget> make_undo_file(const std::filesystem::path& wanted,
                                        const FileDevice& saved) {
  constexpr int kMostNames = 100;
  auto path = wanted;
  for (int name = 2;; ++name) {
    auto made = FileDevice::create_preallocated(path, 0);
    if (!made && made.error().code == base::ErrorCode::kDenied && std::filesystem::exists(path) &&
        name < kMostNames) {
      path = wanted.string() + "-" + std::to_string(name);
      continue;
    }
    if (!made) {
      return base::fail(std::move(made).error().context("no undo file"));
    }
    TRY((*made)->belong_to_owner_of(saved));
    TRY(sync_folder_of(path));
    TRY_ASSIGN(identity, identity_of(saved));
    return UndoTarget{*std::move(made), path, identity};
  }
}

}  // namespace

base::Result<std::uint64_t> identity_of(const FileDevice& file) {
  TRY_ASSIGN(descriptor, file.share());

  struct stat status {};

  if (::fstat(descriptor.number(), &status) != 0) {
    return base::fail(system_error(errno, "cannot look at " + file.path().string()));
  }
  return std::uint64_t{file.is_block_device() ? status.st_rdev : status.st_ino};
}

std::unique_ptr<UndoRecorder> undoable(std::unique_ptr<FileDevice> file,
                                       const std::filesystem::path& undo_file) {
  const FileDevice* const saved = file.get();
  return std::make_unique<UndoRecorder>(
      std::move(file), [undo_file, saved] { return make_undo_file(undo_file, *saved); });
}

}  // namespace vmgs::storage
