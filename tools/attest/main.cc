// SPDX-License-Identifier: Apache-2.0
#include <cstdlib>

#include "tools/attest/commands.h"

int main(int argc, char** argv) {
  using namespace tools::attest;
  // The TSS library tells of each malformed structure on stderr; we say it ourselves.
  ::setenv("TSS2_LOG", "all+none", 0);
  return tools::cli::run(
      {.name = "attest",
       .summary = "Collect evidence about a VM and its TPM, and verify it offline",
       .commands = {collect_command(), verify_command(), explain_command(), eventlog_command(),
                    collateral_command()}},
      argc, argv);
}
