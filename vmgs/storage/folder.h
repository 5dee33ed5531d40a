// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>

#include "vmgs/base/result.h"

namespace vmgs::storage {

// sync_folder_of() makes the name `path` durable: creation, renaming and removal live in the
// folder, and syncing the file itself does not reach them (POSIX promises nothing here; Linux needs
// fsync of the folder). Errors as system_error().
base::Result<void> sync_folder_of(const std::filesystem::path& path);

// publish() gives a finished, synced file its final name, durably, and never replaces what is
// there: kDenied if `final_path` exists, and then `temporary` is still there. Both must lie in one
// file system.
base::Result<void> publish(const std::filesystem::path& temporary,
                           const std::filesystem::path& final_path);

}  // namespace vmgs::storage
