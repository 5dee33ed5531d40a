// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "tools/cli/program.h"

namespace tools::vtpmctl {

// One function a subcommand, each in a file of its name.
cli::Command create_command();
cli::Command list_command();
cli::Command lockout_command();
cli::Command migrate_command();
cli::Command show_command();
cli::Command start_command();
cli::Command state_blobs_command();
cli::Command stop_command();
cli::Command replace_command();
cli::Command convert_command();
cli::Command delete_command();
cli::Command watch_command();
cli::Command ready_command();
cli::Command certificates_command();
cli::Command revoke_command();
cli::Command authority_command();
cli::Command adopt_command();

}  // namespace tools::vtpmctl
