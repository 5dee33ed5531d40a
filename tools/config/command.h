// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>

#include "tools/cli/program.h"
#include "tools/config/schema.h"

namespace tools::config {

// Configuration is what the configuration of a daemon is to whoever types.
struct Configuration {
  std::string daemon;
  std::string program;             // that has the command
  std::string file;                // the default
  std::function<Schema()> schema;  // bound to variables that outlive the command
};

// config_command() is `config check` and `config dump`, which read what the daemon would read.
cli::Command config_command(Configuration configuration);

}  // namespace tools::config
