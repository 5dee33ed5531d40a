// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "tools/cli/program.h"

namespace tools::kbctl {

// One function a subcommand or group, each in a file of its name.
cli::Command status_command();
cli::Command tenant_commands();
cli::Command vm_commands();
cli::Command policy_commands();
cli::Command key_commands();
cli::Command releases_commands();
cli::Command audit_command();
cli::Command checkpoint_command();
cli::Command launch_document_commands();
cli::Command backup_command();

}  // namespace tools::kbctl
