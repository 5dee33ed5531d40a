// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "tools/cli/program.h"

namespace tools::vmgs {

// The commands of the group `uefi`.
cli::Command uefi_delete_command();
cli::Command uefi_export_command();
cli::Command uefi_get_command();
cli::Command uefi_import_command();
cli::Command uefi_remove_boot_entries_command();
cli::Command uefi_set_command();
cli::Command uefi_update_command();

}  // namespace tools::vmgs
