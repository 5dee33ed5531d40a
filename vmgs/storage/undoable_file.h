// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>

#include "vmgs/storage/file.h"
#include "vmgs/storage/undo_recorder.h"

namespace vmgs::storage {

// identity_of() tells an open file from others, also under another name: its inode number, or the
// device number of a block device. A copy is another file. kIo.
base::Result<std::uint64_t> identity_of(const FileDevice& file);

// undoable() puts a recorder in front of an open file. At the first write it makes an undo file of
// that name, or of that name and -2, -3 if it is taken: mode 0600, of the owner whose file it is.
std::unique_ptr<UndoRecorder> undoable(std::unique_ptr<FileDevice> file,
                                       const std::filesystem::path& undo_file);

}  // namespace vmgs::storage
