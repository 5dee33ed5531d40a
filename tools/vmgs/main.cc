// SPDX-License-Identifier: Apache-2.0
#include <utility>

#include "tools/vmgs/commands.h"
#include "tools/vmgs/fleet.h"
#include "tools/vmgs/vmgstool.h"

int main(int argc, char** argv) {
  using namespace tools::vmgs;
  if (argc > 0 && is_vmgstool(argv[0])) {
    return run_vmgstool({argv + 1, argv + argc});
  }
  std::vector<tools::cli::Command> commands = {
      create_command(),  info_command(),     map_command(),   show_command(),
      explain_command(), check_command(),    read_command(),  write_command(),
      delete_command(),  rekey_command(),    close_command(), repair_command(),
      salvage_command(), previous_command(), undo_command(),  variables_command(),
      compat_command(),  convert_command(),  copy_command(),  decrypt_command(),
      diff_command(),    encrypt_command(),  move_command(),  resize_command(),
      uefi_command()};
  commands.push_back(fleet_command(commands));
  return tools::cli::run({.name = "vmgs",
                          .summary = "Look at and change a VM's guest state (a VMGS file) offline",
                          .commands = std::move(commands)},
                         argc, argv);
}
