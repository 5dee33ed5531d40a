// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace tools::cli {

// What a command line may hold, as text: the one table from which completion and manual pages are
// made, taken from the declarations that the program itself reads its arguments by.

struct OptionText {
  std::vector<std::string> names;  // "--key"; of a positional argument the one name "FILE"
  std::string value;               // "FROM", empty for a flag and for a positional argument
  std::string description;
  bool is_positional = false;
  bool is_required = false;
};

struct CommandText {
  std::vector<std::string> path;  // {"uefi", "get"}; empty for the program itself
  std::string summary;
  std::vector<OptionText> options;       // --help included
  std::vector<std::string> subcommands;  // names
};

// describe() lists the program and every command of it, each behind the group that it is in.
std::vector<CommandText> describe(const CLI::App& app);

}  // namespace tools::cli
