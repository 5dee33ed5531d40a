// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "tools/cli/program.h"

namespace tools::vmgs {

// The subcommands, each in the file of its name.
cli::Command check_command();
cli::Command close_command();
cli::Command compat_command();
cli::Command convert_command();
cli::Command copy_command();
cli::Command create_command();
cli::Command decrypt_command();
cli::Command delete_command();
cli::Command diff_command();
cli::Command encrypt_command();
cli::Command explain_command();
cli::Command info_command();
cli::Command map_command();
cli::Command move_command();
cli::Command previous_command();
cli::Command read_command();
cli::Command rekey_command();
cli::Command repair_command();
cli::Command resize_command();
cli::Command salvage_command();
cli::Command show_command();
cli::Command uefi_command();
cli::Command undo_command();
cli::Command variables_command();
cli::Command write_command();

}  // namespace tools::vmgs
