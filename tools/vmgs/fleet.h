// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "tools/cli/program.h"

namespace tools::vmgs {

// fleet_command() is the command `fleet`, which runs one of `commands` on many files.
cli::Command fleet_command(std::vector<cli::Command> commands);

}  // namespace tools::vmgs
