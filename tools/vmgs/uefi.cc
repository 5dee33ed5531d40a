// SPDX-License-Identifier: Apache-2.0
#include "tools/vmgs/commands.h"
#include "tools/vmgs/uefi_commands.h"

namespace tools::vmgs {

cli::Command uefi_command() {
  auto list = variables_command();
  list.name = "list";
  return {.name = "uefi",
          .summary = "Look at and change the UEFI variables in a store",
          .group = {std::move(list), uefi_get_command(), uefi_set_command(), uefi_delete_command(),
                    uefi_remove_boot_entries_command(), uefi_update_command(),
                    uefi_export_command(), uefi_import_command()}};
}

}  // namespace tools::vmgs
