// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "tools/cli/command_text.h"
#include "vmgs/base/result.h"

namespace tools::cli {

// completion() is a script that completes the command line of `program` in a shell: "bash", "zsh"
// or "fish". Commands and options are completed by name, everything else as a file.
// kInvalidArgument for another shell.
base::Result<std::string> completion(std::string_view shell, const std::string& program,
                                     const std::vector<CommandText>& commands);

}  // namespace tools::cli
