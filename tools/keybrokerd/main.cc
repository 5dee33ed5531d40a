// SPDX-License-Identifier: Apache-2.0
#include "tools/cli/program.h"
#include "tools/config/command.h"
#include "tools/keybrokerd/commands.h"

int main(int argc, char** argv) {
  using namespace tools::keybrokerd;
  tools::config::KeybrokerdSettings settings;
  const tools::cli::Program program{
      .name = "keybrokerd",
      .summary =
          "Releases the keys of confidential VMs to those whose evidence earns them. kbctl "
          "talks to it.",
      .commands = {
          run_command(), issue_command(), revoke_command(), restore_command(), secrets_commands(),
          tools::config::config_command({.daemon = "keybrokerd",
                                         .program = "keybrokerd",
                                         .file = tools::config::kKeybrokerdFile,
                                         .schema = [&] { return keybrokerd_schema(settings); }})}};
  return tools::cli::run(program, argc, argv);
}
