// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "tools/cli/command_text.h"

namespace tools::cli {

// manual() is the manual page of `program`, section 1, for man(1): every command, option and exit
// status.
std::string manual(const std::string& program, const std::string& version,
                   const std::vector<CommandText>& commands);

}  // namespace tools::cli
