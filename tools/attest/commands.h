// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "tools/cli/program.h"

namespace tools::attest {

// The subcommands, each in the file of its name.
cli::Command collateral_command();
cli::Command collect_command();
cli::Command eventlog_command();
cli::Command explain_command();
cli::Command verify_command();

}  // namespace tools::attest
