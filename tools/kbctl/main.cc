// SPDX-License-Identifier: Apache-2.0
#include "tools/cli/program.h"
#include "tools/kbctl/commands.h"

int main(int argc, char** argv) {
  using namespace tools::kbctl;
  const tools::cli::Program program{
      .name = "kbctl",
      .summary =
          "Registers VMs at a key broker, says what their evidence must show, and tells what "
          "was released and why; keybrokerd does the work.",
      .commands = {status_command(), tenant_commands(), vm_commands(), policy_commands(),
                   key_commands(), releases_commands(), audit_command(), checkpoint_command(),
                   launch_document_commands(), backup_command()}};
  return tools::cli::run(program, argc, argv);
}
