// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>

#include "tools/vtpm-instance/setup.h"
#include "vmgs/base/result.h"

namespace tools::vtpm_instance {

// What the command line asks for: an instance, or only a text (--help, --version).
struct CommandLine {
  InstanceSetup setup;
  std::optional<std::string> text = std::nullopt;
};

// read_command_line() gives the setup of an instance that runs alone. kInvalidArgument for options
// that are wrong or contradict each other, with the sentence for the person who typed them; errors
// of reading the launch document.
base::Result<CommandLine> read_command_line(const std::string& program, int argc,
                                            const char* const* argv);

}  // namespace tools::vtpm_instance
