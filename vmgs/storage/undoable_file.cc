// SPDX-License-Identifier: Apache-2.0
#include "vmgs/storage/undoable_file.h"

#include <string>
#include <utility>

#include "vmgs/storage/folder.h"

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
    return UndoTarget{*std::move(made), path};
  }
}

}  // namespace

std::unique_ptr<UndoRecorder> undoable(std::unique_ptr<FileDevice> file,
                                       const std::filesystem::path& undo_file) {
  const FileDevice* const saved = file.get();
  return std::make_unique<UndoRecorder>(
      std::move(file), [undo_file, saved] { return make_undo_file(undo_file, *saved); });
}

}  // namespace vmgs::storage
