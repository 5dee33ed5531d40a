// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "tools/cli/program.h"

namespace tools::simulated_machine {

// The subcommands, each in the file of its name.
cli::Command publish_command();
cli::Command quote_command();

}  // namespace tools::simulated_machine
