// SPDX-License-Identifier: Apache-2.0
#include "tools/vmgs/commands.h"

int main(int argc, char** argv) {
  using namespace tools::vmgs;
  return tools::cli::run(
      {.name = "vmgs",
       .summary = "Look at and change a VM's guest state (a VMGS file) offline",
       .commands = {create_command(), info_command(), map_command(), show_command(),
                    explain_command(), check_command(), read_command(), write_command(),
                    delete_command(), rekey_command(), close_command(), repair_command(),
                    salvage_command(), previous_command(), undo_command(), variables_command()}},
      argc, argv);
}
