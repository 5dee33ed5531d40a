// SPDX-License-Identifier: Apache-2.0
#include "tools/cli/program.h"
#include "tools/config/command.h"
#include "tools/config/vtpmd_settings.h"
#include "tools/vtpmctl/commands.h"

int main(int argc, char** argv) {
  using namespace tools::vtpmctl;
  tools::config::VtpmdSettings settings;
  const tools::cli::Program program{
      .name = "vtpmctl",
      .summary = "Manages the virtual TPMs of this host's VMs; vtpmd does the work.",
      .commands = {
          create_command(), adopt_command(), list_command(), show_command(), start_command(),
          stop_command(), replace_command(), state_blobs_command(), migrate_command(),
          convert_command(), delete_command(), watch_command(), ready_command(), lockout_command(),
          certificates_command(), revoke_command(), authority_command(),
          tools::config::config_command({.daemon = "vtpmd",
                                         .program = "vtpmctl",
                                         .file = tools::config::kVtpmdFile,
                                         .schema = [&] { return vtpmd_schema(settings); }})}};
  return tools::cli::run(program, argc, argv);
}
