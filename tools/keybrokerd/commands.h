// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "tools/cli/program.h"
#include "tools/config/keybrokerd_settings.h"

namespace tools::keybrokerd {

// One function a subcommand, each in a file of its name.
cli::Command run_command();
cli::Command issue_command();
cli::Command revoke_command();
cli::Command restore_command();
cli::Command secrets_commands();

// Flags are what each command takes of the configuration.
struct Flags {
  std::string config;
  std::string state;
};

// add_flags() declares --config and --state. read_settings() reads the files; the flags win. All
// faults are in the error, one a line.
void add_flags(CLI::App& app, Flags& flags);
base::Result<config::KeybrokerdSettings> read_settings(const Flags& flags);

}  // namespace tools::keybrokerd
