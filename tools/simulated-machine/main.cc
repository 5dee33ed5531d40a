// SPDX-License-Identifier: Apache-2.0
#include "tools/simulated-machine/commands.h"

int main(int argc, char** argv) {
  using namespace tools::simulated_machine;
  return tools::cli::run(
      {.name = "simulated-machine",
       .summary = "What surrounds the simulated machine of vtpm-instance-sim: its vendor and its "
                  "quoting enclave",
       .commands = {publish_command(), quote_command()}},
      argc, argv);
}
